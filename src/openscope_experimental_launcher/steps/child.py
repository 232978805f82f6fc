"""The process that one step runs in.

Executed as a file with the path of a request, it runs the step and leaves the result in a file of
its own, so that nothing a step prints can be taken for it. A step of a repository runs in the
experiment's interpreter, where the launcher and its packages need not be: for it, this file uses
the standard library of Python 3.8 only.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import shutil
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

_LOOK_S = 0.5


def main(request_file: Path) -> None:
    """Run the step that `request_file` describes.

    Whatever it raises is written down and goes on to the interpreter, which prints the traceback;
    but Ctrl-C at a question, which is the person's word and no fault.
    """
    request: dict[str, Any] = json.loads(request_file.read_text(encoding="utf-8"))
    result_file = request_file.with_name("result.json")
    if not request["interactive"] and sys.platform != "win32":
        threading.Thread(
            target=end_with_launcher, args=(os.getppid(), request_file.parent), daemon=True
        ).start()
    try:
        if sys.platform != "win32":  # the launcher kept it back while the interpreter started
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
        result = _RUNNERS[request["kind"]](request)
    except SystemExit as end:
        if end.code in (None, 0):
            leave(result_file, judged(None))
        else:
            leave(result_file, failed(f"It called sys.exit({end.code!r})."))
        raise
    except KeyboardInterrupt as interrupt:
        if not request["interactive"]:
            leave(result_file, failed(in_words(interrupt)))
            raise
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # it was heard
        leave(result_file, interrupted(request["context"]["outcome"]))
        sys.exit(130)
    except BaseException as error:
        leave(result_file, failed(in_words(error)))
        raise
    leave(result_file, result)


def end_with_launcher(launcher: int, private: Path) -> None:
    """End this process group when the launcher is lost: recovery will run the step again, and
    two of them must not work on one session.

    Args:
        launcher: process id of the launcher, the parent of this process.
        private: folder of the request, which nobody else is left to remove.
    """
    if sys.platform == "win32":  # there the launcher's job object ends the step
        return
    while os.getppid() == launcher:
        time.sleep(_LOOK_S)
    shutil.rmtree(private, ignore_errors=True)
    os.killpg(0, signal.SIGKILL)


def run_step(request: dict[str, Any]) -> dict[str, Any]:
    """Run an installed step."""
    sys.path[:] = request["import_path"]
    steps = importlib.import_module("openscope_experimental_launcher.steps")
    faults = importlib.import_module("openscope_experimental_launcher.steps.faults")
    step = steps.get_step(request["target"])
    told = request["context"]
    try:
        parameters = step.parameters_model.model_validate(request["values"])
    except faults.ValidationError as error:
        return failed(faults.in_words(error))
    context = steps.StepContext(
        **{
            **told,
            "session_folder": Path(told["session_folder"]),
            "checkout": Path(told["checkout"]) if told["checkout"] else None,
            "parameters": parameters,
        }
    )
    result = step.run(context)
    if not isinstance(result, steps.StepResult):
        raise TypeError(f"run returned {type(result).__name__}, not a StepResult")
    return {**result._asdict(), "files": list(result.files), "warnings": list(result.warnings)}


def run_module(request: dict[str, Any]) -> dict[str, Any]:
    """Run an installed module of the older kind, which is given a parameter file."""
    sys.path[:] = request["import_path"]
    module = importlib.import_module(request["target"])
    return judged(getattr(module, request["file_function"])(request["parameter_file"]))


def run_script(request: dict[str, Any]) -> dict[str, Any]:
    """Run a function of a file of the repository."""
    path = Path(request["target"])
    # Beside the script, not beside this file, is what it imports.
    own_folder = str(Path(__file__).parent)
    others = [entry for entry in sys.path if entry != own_folder]
    sys.path[:] = [str(path.parent), request["context"]["checkout"], *others]
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path.name} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return judged(_call(module, request))


def _call(module: Any, request: dict[str, Any]) -> Any:
    name, file_function = request["function"], request["file_function"]
    if not name:
        name = file_function if hasattr(module, file_function) else "run"
    function, arguments = getattr(module, name), request["arguments"]
    if arguments is None and name == file_function:
        return function(request["parameter_file"])
    if isinstance(arguments, dict):
        return function(**arguments)
    return function(*(arguments or []))


_RUNNERS = {"step": run_step, "module": run_module, "script": run_script}


def judged(value: Any) -> dict[str, Any]:
    """The result that a function's value stands for: False, or a number that is not 0, is a
    failure, as it is for a program's exit code."""
    if value is False:
        return failed("It returned False.")
    if isinstance(value, int) and not isinstance(value, bool) and value != 0:
        return failed(f"It returned {value}.")
    return {"ok": True, "message": "", "files": []}


def failed(message: str) -> dict[str, Any]:
    """The result of a step that did not do what it is for."""
    return {"ok": False, "message": message, "files": []}


def interrupted(outcome: str) -> dict[str, Any]:
    """The result of a step whose question was left with Ctrl-C: after the acquisition it can be
    asked later, before it the session needed the answer.

    Args:
        outcome: how the acquisition ended; empty before it.
    """
    return {**failed("It was interrupted."), "pending": bool(outcome)}


def in_words(error: BaseException) -> str:
    """An exception as it ends its traceback."""
    lines = traceback.format_exception_only(type(error), error)
    said = next((line for line in lines if not line.startswith(" ")), type(error).__name__)
    return f"It raised {said.strip()}"


def leave(result_file: Path, result: dict[str, Any]) -> None:
    """Write the result, whole or not at all."""
    unfinished = result_file.with_suffix(".unfinished")
    unfinished.write_text(json.dumps(result), encoding="utf-8")
    unfinished.replace(result_file)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
