"""git.exe under wine, where there is no git for Windows: runs this system's git.

Wine starts a Linux program but gives no handle to wait on, so a shell writes down the outputs and
the exit code. Paths are translated both ways, in arguments and variables.
"""

import _winapi
import ctypes
import os
import re
import shlex
import sys
import tempfile
import time
from pathlib import Path

_DRIVE = re.compile(r"(?<![A-Za-z0-9])([A-Za-z]):[\\/][^\0]*$")
_ASKS_FOR_A_PATH = {"--show-toplevel", "--git-dir", "--absolute-git-dir", "--git-common-dir"}

_unix_name = ctypes.WinDLL("kernel32").wine_get_unix_file_name
_unix_name.restype, _unix_name.argtypes = ctypes.c_void_p, [ctypes.c_wchar_p]


def unix(path: str) -> str:
    """This system's name of a Windows path."""
    return ctypes.string_at(_unix_name(path.replace("/", "\\"))).decode()


def argument(text: str) -> str:
    """An argument with the Windows path at its end, if there is one, translated."""
    found = _DRIVE.search(text)
    return text if found is None else text[: found.start()] + unix(text[found.start() :])


def main() -> int:
    """Run git with this program's arguments."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        (work / "in").write_bytes(sys.stdin.buffer.read())
        (work / "run").write_bytes(script(unix(folder)).encode())
        shell = f'sh "{unix(folder)}/run"'
        _winapi.CreateProcess(r"Z:\bin\sh", shell, None, None, False, 0, None, None, None)
        while not (work / "code").exists():
            time.sleep(0.005)
        output = (work / "out").read_bytes()
        if _ASKS_FOR_A_PATH.intersection(sys.argv):
            output = re.sub(rb"(?m)^/", b"Z:/", output)
        sys.stdout.buffer.write(output)
        sys.stderr.buffer.write((work / "err").read_bytes())
        return int((work / "code").read_text())


def script(work: str) -> str:
    """What the shell has to do."""
    paths = {name: argument(value) for name, value in os.environ.items() if name.startswith("GIT_")}
    return "\n".join(
        [
            f"cd {shlex.quote(unix(str(Path.cwd())))}",
            f"work={shlex.quote(work)}",
            *(
                f"export {name}={shlex.quote(value)}"
                for name, value in paths.items()
                if value != os.environ[name]
            ),
            shlex.join(["git", *map(argument, sys.argv[1:])])
            + ' <"$work/in" >"$work/out" 2>"$work/err"',
            'echo $? >"$work/code.new"; mv "$work/code.new" "$work/code"',
            "",
        ]
    )


sys.exit(main())
