"""Whether a file is a program that can be started on this computer.

Formats by their first bytes: `MZ` and the machine field of the PE header, ELF's `e_machine`,
`#!` scripts. A .NET program for any processor is marked x86 and runs everywhere.
"""

from __future__ import annotations

import os
import platform
import shutil
import struct
import sys
from pathlib import Path

from ...errors import Finding

_PE_MACHINES = {0x014C: "x86", 0x8664: "x86-64", 0xAA64: "ARM64"}
_ELF_MACHINES = {0x03: "x86", 0x28: "ARM", 0x3E: "x86-64", 0xB7: "ARM64"}
_HERE = {"amd64": "x86-64", "x86_64": "x86-64", "arm64": "ARM64", "aarch64": "ARM64", "i686": "x86"}
_RUNS = {"x86-64": {"x86-64", "x86"}, "ARM64": {"ARM64", "ARM"}, "x86": {"x86"}}
_EMULATED_ON_WINDOWS = {"x86", "x86-64"}
_WINDOWS_SCRIPTS = (".bat", ".cmd") if sys.platform == "win32" else ()


ENVIRONMENT_FOLDER = ".bonsai"
"""Where Bonsai's own template for environments puts `Bonsai.exe` and its setup scripts."""


def exe_in(path: Path) -> Path:
    """The `Bonsai.exe` in a folder that was named in its place; else `path` itself."""
    inside = path / "Bonsai.exe"
    return inside if inside.is_file() else path


def program_of(exe: Path) -> tuple[str, ...]:
    """What starts the program: itself, or mono for a Windows program on another system."""
    if sys.platform != "win32" and _head(exe)[:2] == b"MZ":
        return (shutil.which("mono") or "mono", str(exe))
    return (str(exe),)


def program_findings(path: Path, where: str) -> list[Finding]:
    """Why a program could not be started, in plain words; empty when nothing speaks against it.

    Args:
        path: absolute path of the program.
        where: the key it comes from, to be shown.
    """
    if path.is_dir():
        return [
            _error(
                "bonsai-exe-is-folder",
                f"{path} is a folder, not a program.",
                where,
                "Name the file.",
            )
        ]
    if not path.exists():
        fix = "Correct the path, or install it there."
        return [_error("bonsai-exe-missing", f"{path} does not exist.", where, fix)]
    head = _head(path)
    if head[:2] == b"MZ":
        return _windows_program(path, head, where)
    return _native_program(path, head, where)


def _error(code: str, message: str, where: str, fix: str) -> Finding:
    return Finding("error", code, message, where=where, fix=fix)


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(4096)
    except OSError:
        return b""


def _windows_program(path: Path, head: bytes, where: str) -> list[Finding]:
    if sys.platform != "win32":
        if shutil.which("mono"):
            return []
        message = (
            f"{path} is a Windows program, and mono, which would run it here, is not installed."
        )
        return [
            _error(
                "bonsai-exe-needs-mono", message, where, "Install mono, or run on a Windows rig."
            )
        ]
    return _wrong_machine(path, _pe_machine(head), where, emulated=_EMULATED_ON_WINDOWS)


def _native_program(path: Path, head: bytes, where: str) -> list[Finding]:
    if not os.access(path, os.R_OK | os.X_OK):
        message = f"{path} is not executable for this user."
        return [
            _error("bonsai-exe-not-executable", message, where, f"Allow it: chmod u+rx '{path}'")
        ]
    if head[:4] == b"\x7fELF" and sys.platform == "linux":
        return _wrong_machine(path, _elf_machine(head), where)
    if head[:2] == b"#!" and sys.platform != "win32":
        words = head[2:].split(b"\n")[0].split()
        interpreter = os.fsdecode(words[0]) if words else ""
        if not shutil.which(interpreter):
            message = f"{path} is a script for '{interpreter}', which is not there."
            return [
                _error(
                    "bonsai-exe-no-interpreter",
                    message,
                    where,
                    "Install it or mend the first line.",
                )
            ]
        return []
    if sys.platform == "darwin" or path.suffix.lower() in _WINDOWS_SCRIPTS:
        return []
    message = f"{path} is not a program that this computer can run."
    return [
        _error(
            "bonsai-exe-not-a-program", message, where, "Name Bonsai.exe itself; install it again."
        )
    ]


def _wrong_machine(
    path: Path, machine: str | None, where: str, emulated: set[str] | None = None
) -> list[Finding]:
    here = _HERE.get(platform.machine().lower())
    if here is None or machine is None:
        return []
    runs = _RUNS[here] | (emulated or set() if here == "ARM64" else set())
    if machine in runs:
        return []
    message = f"{path} is built for {machine} processors; this computer has {here}."
    return [_error("bonsai-exe-wrong-architecture", message, where, f"Install the {here} version.")]


def _pe_machine(head: bytes) -> str | None:
    if len(head) < 64:
        return None
    (offset,) = struct.unpack_from("<I", head, 60)
    if head[offset : offset + 4] != b"PE\0\0" or len(head) < offset + 6:
        return None
    return _PE_MACHINES.get(struct.unpack_from("<H", head, offset + 4)[0])


def _elf_machine(head: bytes) -> str | None:
    if len(head) < 20:
        return None
    order = "<H" if head[5] == 1 else ">H"
    return _ELF_MACHINES.get(struct.unpack_from(order, head, 18)[0])
