"""git.exe under wine, where there is no git for Windows: runs this system's git.

Wine starts a Linux program but gives no handle to wait on, so a shell writes down the outputs and
the exit code. Paths are translated both ways; standard input is empty.
"""

import _winapi
import ctypes
import os
import re
import shlex
import sys
import tempfile
import time

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
    with tempfile.TemporaryDirectory() as work:
        words = shlex.join(["git", *map(argument, sys.argv[1:])])
        with open(rf"{work}\run", "w", encoding="utf-8", newline="\n") as script:
            script.write(f"cd {shlex.quote(unix(os.getcwd()))}\n")
            script.write(f"work={shlex.quote(unix(work))}\n")
            script.write(f'{words} </dev/null >"$work/out" 2>"$work/err"\n')
            script.write('echo $? >"$work/code.new"; mv "$work/code.new" "$work/code"\n')
        shell = f'sh "{unix(work)}/run"'
        _winapi.CreateProcess(r"Z:\bin\sh", shell, None, None, False, 0, None, None, None)
        while not os.path.exists(rf"{work}\code"):
            time.sleep(0.005)
        output = read(rf"{work}\out")
        if _ASKS_FOR_A_PATH.intersection(sys.argv):
            output = re.sub(rb"(?m)^/", b"Z:/", output)
        sys.stdout.buffer.write(output)
        sys.stderr.buffer.write(read(rf"{work}\err"))
        return int(read(rf"{work}\code"))


def read(path: str) -> bytes:
    """The bytes of a file."""
    with open(path, "rb") as stream:
        return stream.read()


sys.exit(main())
