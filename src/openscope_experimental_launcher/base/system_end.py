"""The ends of a program that are no signals on Windows: its console window closed, a log-off.

Windows ends the process when its answer has been given, or when its patience (some five seconds)
is over; so the answer waits for the session's records. A log-off reaches console programs only
through a window, if they have loaded the libraries for windows, hence the one that is never shown.
Source: Microsoft's documentation of `SetConsoleCtrlHandler` and `WM_ENDSESSION`.
"""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ctypes import wintypes

if sys.platform != "win32":
    raise ImportError("system_end is for Windows")

LOG_OFF = "the user logged off or the machine is shut down"

_CTRL_CLOSE, _CTRL_LOGOFF, _CTRL_SHUTDOWN = 2, 5, 6
_WM_CLOSE, _WM_DESTROY, _WM_ENDSESSION = 0x10, 0x2, 0x16
_WINDOW_CLASS = "OpenScopeSession"
_WHY_NOT_YET = "An experimental session is being stopped and saved."

_Handler = ctypes.WINFUNCTYPE(wintypes.BOOL, wintypes.DWORD)


@contextmanager
def system_end(on_end: Callable[[str], object], window_closed: str) -> Iterator[None]:
    """Tell `on_end` when the system ends this process, and delay that for the `with` block.

    Args:
        on_end: called in a thread of the system's with the reason in words.
        window_closed: the words for a closed console window.
    """
    left = threading.Event()
    reasons = {_CTRL_CLOSE: window_closed, _CTRL_LOGOFF: LOG_OFF, _CTRL_SHUTDOWN: LOG_OFF}

    def on_console_event(event: int) -> bool:
        if event not in reasons:
            return False  # Ctrl-C and Ctrl-Break go on to Python's own handler
        on_end(reasons[event])
        return left.wait()

    def on_session_end() -> None:
        on_end(LOG_OFF)
        left.wait()

    window = _Window(on_session_end)
    # By ctypes, which lets other threads run meanwhile: taking a handler away waits until it has
    # answered, and pywin32 would keep it from that.
    set_handler = ctypes.WinDLL("kernel32").SetConsoleCtrlHandler
    handler = _Handler(on_console_event)
    set_handler(handler, True)
    window.start()
    try:
        yield
    finally:
        left.set()
        set_handler(handler, False)
        window.close()


class _Window(threading.Thread):
    """A thread with a window that is never shown, for the word that the user logs off."""

    def __init__(self, on_session_end: Callable[[], None]) -> None:
        super().__init__(name="session-end", daemon=True)
        self._on_session_end = on_session_end
        self._made = threading.Event()
        self._handle = 0

    def run(self) -> None:
        import win32api
        import win32gui

        window_class = win32gui.WNDCLASS()
        window_class.lpszClassName = _WINDOW_CLASS
        window_class.hInstance = win32api.GetModuleHandle(None)
        window_class.lpfnWndProc = {_WM_ENDSESSION: self._end_session, _WM_DESTROY: self._leave}
        try:
            atom = win32gui.RegisterClass(window_class)
            place = (0, 0, 0, 0)
            self._handle = win32gui.CreateWindow(
                atom, "OpenScope", 0, *place, 0, 0, window_class.hInstance, None
            )
            ctypes.WinDLL("user32").ShutdownBlockReasonCreate(self._handle, _WHY_NOT_YET)
        except win32gui.error:
            return  # no desktop, as for a service: then there is no log-off either
        finally:
            self._made.set()
        win32gui.PumpMessages()
        win32gui.UnregisterClass(atom, window_class.hInstance)

    def _end_session(self, _window: int, _message: int, ends: int, _why: int) -> int:
        if ends:  # not when somebody else refused
            self._on_session_end()
        return 0

    def _leave(self, *_: int) -> int:
        import win32gui

        win32gui.PostQuitMessage(0)
        return 0

    def close(self) -> None:
        """Close the window; the thread ends with it."""
        import win32gui

        self._made.wait()
        if self._handle:
            win32gui.PostMessage(self._handle, _WM_CLOSE, 0, 0)
            self.join()
