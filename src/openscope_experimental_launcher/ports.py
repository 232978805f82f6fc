"""Which serial ports this machine has, by their names."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_WINDOWS_NAME = re.compile(r"(?:\\\\\.\\)?(COM\d{1,3})", re.IGNORECASE)
_DEVICE_FILE = re.compile(r"/dev/(?:(?:tty|cu)[A-Za-z.][\w.-]*|serial/[\w./:-]+)")


def named_ports(value: Any, place: str) -> Iterator[tuple[str, str]]:
    """The serial ports that a JSON value names, with where.

    Only a text that is nothing but a port's name names one.

    Args:
        value: looked through at any depth.
        place: what to call it.
    """
    if isinstance(value, str):
        if _WINDOWS_NAME.fullmatch(value.strip()) or _DEVICE_FILE.fullmatch(value.strip()):
            yield value.strip(), place
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from named_ports(item, f"{place}.{key}")
    elif isinstance(value, (list, tuple)):
        for number, item in enumerate(value):
            yield from named_ports(item, f"{place}[{number}]")


def serial_ports() -> list[str]:
    """Names of the serial ports of this machine (Windows), as in `COM3`; none elsewhere.

    Read where .NET's `SerialPort.GetPortNames` reads them, which is what Bonsai goes by: the
    registry key that Windows' serial drivers keep up to date.
    """
    if sys.platform != "win32":
        return []
    import winreg

    try:
        key = winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, r"HARDWARE\DEVICEMAP\SERIALCOMM")
    except OSError:  # there never was one
        return []
    with key:
        count = winreg.QueryInfoKey(key)[1]
        return sorted(str(winreg.EnumValue(key, number)[1]) for number in range(count))


def missing_port(name: str) -> str:
    """Why the serial port `name` cannot be used, in words; empty when it is there."""
    windows = _WINDOWS_NAME.fullmatch(name)
    if not windows:
        return "" if Path(name).exists() else "there is no such device here"
    if sys.platform != "win32":
        return "it is a port of a Windows machine"
    there = serial_ports()
    if windows[1].upper() in (port.upper() for port in there):
        return ""
    return f"this machine has {', '.join(there) or 'none'}"
