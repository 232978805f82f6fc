"""The one way git is run: one environment, one set of safe options, errors in plain words.

Every option that keeps git safe and silent is given through git's environment
(`GIT_CONFIG_COUNT`, git 2.31 and later), because it then holds for every git that git itself
starts, too. Nothing of the caller's environment that would point git elsewhere is passed on.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from ..commands import CommandFailed, CommandResult, run_command
from ..errors import CommandError, RepositoryError
from .addresses import TRANSPORTS

MINIMUM_VERSION = (2, 31)
"""First git that takes settings from `GIT_CONFIG_COUNT`; older ones would run unprotected."""

Progress = Callable[[str], None]

_LOCAL_S = 300.0  # for looking at a large checkout on a slow disk

_NO_HOOKS = "NUL" if sys.platform == "win32" else "/dev/null"
_SAFE_OPTIONS: dict[str, str] = {
    "core.hooksPath": _NO_HOOKS,
    "core.fsmonitor": "false",
    # Nothing may start working in the background while an acquisition runs.
    "gc.auto": "0",
    "maintenance.auto": "false",
    "submodule.recurse": "false",
    "credential.interactive": "false",
    "protocol.version": "2",
    "http.lowSpeedLimit": "500",
    "http.lowSpeedTime": "30",
    "safe.bareRepository": "all",
    "advice.detachedHead": "false",
    "core.quotePath": "false",
} | ({"core.longpaths": "true"} if sys.platform == "win32" else {})

# What the machine's owner set to reach a server or to place git's settings; everything else that
# begins with GIT_ belongs to whatever git command we may have been started from.
_KEPT = re.compile(
    r"GIT_(SSH|SSH_COMMAND|SSH_VARIANT|SSL_\w+|HTTP_\w+|PROXY_\w+|TRACE2\w*"
    r"|CONFIG_(GLOBAL|SYSTEM|NOSYSTEM))"
)
_DROPPED = {"SSH_ASKPASS", "LANGUAGE"}


class Limits(NamedTuple):
    """How long git may take.

    Attributes:
        answer_s: seconds for a server to answer a question.
        transfer_s: seconds for a whole clone, fetch or checkout.
    """

    answer_s: float = 30.0
    transfer_s: float = 3600.0


class Git(NamedTuple):
    """Git, run in one folder.

    Attributes:
        folder: working directory. Git finds a repository only here, not in the folders above.
        bare: `folder` is itself a repository without a working tree.
        options: settings on top of the safe ones.
        environment: variables on top of the clean ones.
        transports: what git may use to reach other repositories.
    """

    folder: Path
    bare: bool = False
    options: Mapping[str, str] = {}
    environment: Mapping[str, str] = {}
    transports: Sequence[str] = TRANSPORTS

    def run(
        self,
        *arguments: str,
        timeout_s: float = _LOCAL_S,
        expected: Sequence[int] = (0,),
        on_progress: Progress | None = None,
        input_text: str | None = None,
        where: str = "",
    ) -> CommandResult:
        """Run one git command to its end.

        Args:
            arguments: the command and its arguments.
            timeout_s: seconds after which git and its children are killed.
            expected: exit codes that are no failure.
            on_progress: called with each line git says about its progress, from another thread.
            input_text: what git reads from standard input.
            where: what an error is about (an address without credentials); the folder when empty.

        Raises:
            RepositoryError: it failed, in plain words.
        """
        where = where or str(self.folder)
        try:
            return run_command(
                [_program(), *arguments],
                folder=self.folder,
                environment=self._whole_environment(),
                timeout_s=timeout_s,
                expected=expected,
                on_error_line=_percentages(on_progress),
                input_bytes=None if input_text is None else os.fsencode(input_text),
            )
        except CommandFailed as failure:
            require_supported_git()
            raise _explained(failure.result, arguments[0], where) from failure
        except CommandError as error:
            raise _not_finished(error, arguments[0], timeout_s, where) from error

    def _whole_environment(self) -> dict[str, str]:
        kept = {
            name: value
            for name, value in os.environ.items()
            if name not in _DROPPED and (not name.startswith("GIT_") or _KEPT.fullmatch(name))
        }
        options = _SAFE_OPTIONS | dict(self.options)
        settings = {"GIT_CONFIG_COUNT": str(len(options))}
        for number, (name, value) in enumerate(options.items()):
            settings[f"GIT_CONFIG_KEY_{number}"] = name
            settings[f"GIT_CONFIG_VALUE_{number}"] = value
        return {
            **kept,
            **settings,
            "LC_ALL": "C",  # messages that can be recognised
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ASKPASS": "",  # set but empty: no other askpass program is looked for either
            "SSH_ASKPASS_REQUIRE": "never",
            "GCM_INTERACTIVE": "never",
            "GIT_ALLOW_PROTOCOL": ":".join(self.transports) or "none",
            "GIT_OPTIONAL_LOCKS": "0",  # looking at a checkout writes nothing into it
            **({"GIT_DIR": str(self.folder)} if self.bare else {}),
            "GIT_CEILING_DIRECTORIES": str(self.folder.parent),
            **self.environment,
        }


def _percentages(on_progress: Progress | None) -> Progress | None:
    """Of all that git says while it works, the progress; the rest is for the error, if any."""
    if on_progress is None:
        return None

    def tell(line: str) -> None:
        if "%" in line:
            on_progress(line)

    return tell


def ssh_environment(folder: Path) -> dict[str, str]:
    """What makes ssh fail instead of asking a question or waiting for a dead host.

    The owner's own choice of an ssh program (`GIT_SSH_COMMAND`, `core.sshCommand`) is kept.

    Args:
        folder: a folder that is no repository, so that only the machine's settings count.
    """
    command = os.environ.get("GIT_SSH_COMMAND", "")
    if not command and not os.environ.get("GIT_SSH"):
        configured = Git(folder).run("config", "--get", "core.sshCommand", expected=(0, 1))
        command = configured.text or "ssh"
    if not command or "plink" in command.lower():
        return {}
    quiet = "-oBatchMode=yes -oConnectTimeout=15 -oServerAliveInterval=15"
    return {"GIT_SSH_COMMAND": f"{command} {quiet}"}


def options_were_obeyed(settings: Sequence[tuple[str, str, str]]) -> bool:
    """Whether the settings git listed hold our safe ones, as they do from `MINIMUM_VERSION` on."""
    return ("command", "core.hookspath", _NO_HOOKS) in settings


def require_supported_git() -> None:
    """Make sure that git is there and new enough to be run safely.

    Raises:
        RepositoryError: it is missing or too old.
    """
    said = _version_of(_program())
    match = re.search(r"(\d+)\.(\d+)", said)
    if match and (int(match[1]), int(match[2])) >= MINIMUM_VERSION:
        return
    needed = ".".join(map(str, MINIMUM_VERSION))
    raise RepositoryError(
        f"This machine's git is too old: {said or 'it does not say its version'}.",
        code="git-too-old",
        where=_program(),
        fix=f"Install git {needed} or newer from https://git-scm.com.",
    )


@cache
def _version_of(program: str) -> str:
    try:
        return run_command([program, "version"], timeout_s=30).text
    except CommandError as error:
        raise _not_finished(error, "version", 30, program) from error


def _program() -> str:
    program = shutil.which("git")
    if program is None:
        raise RepositoryError(
            "git is not installed, or not on the PATH.",
            code="git-missing",
            fix="Install git from https://git-scm.com, then open a new terminal.",
        )
    return program


def _not_finished(
    error: CommandError, command: str, timeout_s: float, where: str
) -> RepositoryError:
    if error.code == "command-timeout":
        return RepositoryError(
            f"git {command} got no result within {timeout_s:.0f} s and was stopped.",
            code="git-timeout",
            where=where,
            fix="Check the network and the server, then try again.",
        )
    return RepositoryError(
        error.message, code="git-not-started", where=where, fix="Check the installation of git."
    )


class _Explanation(NamedTuple):
    pattern: str
    code: str
    message: str
    fix: str


def _explain(pattern: str, code: str, message: str, fix: str) -> _Explanation:
    return _Explanation(pattern, code, message, fix)


# The first that matches what git said counts: ssh's reason comes before git's own guess at one.
_EXPLANATIONS = (
    _explain(
        r"dubious ownership|unsafe repository",
        "repository-ownership",
        "The repository's folder belongs to another user, so git does not trust it.",
        "Run as that user, or once: git config --global --add safe.directory '{folder}'",
    ),
    _explain(
        r"would be overwritten by checkout|following untracked working tree",
        "repository-files-in-the-way",
        "Files in the checkout would be overwritten: {files}.",
        "Commit them or move them away. Nothing was changed.",
    ),
    _explain(
        r"no space left|disk quota|not enough space",
        "disk-full",
        "The disk is full.",
        "Free some space, then try again.",
    ),
    _explain(
        r"index\.lock",
        "repository-locked",
        "Another git works in the checkout, or was interrupted in it.",
        "Close other programs that use the checkout; if there are none, "
        "delete the file .git/index.lock in it.",
    ),
    _explain(
        r"filename too long|file name too long",
        "path-too-long",
        "A file of the repository has a path too long for this machine.",
        "Give a shorter local_repository_path.",
    ),
    _explain(
        r"transport '.*' not allowed|protocol .* not supported|unsupported url scheme"
        r"|remote helper",
        "repository-transport-refused",
        "git was asked to use a transport that is not allowed here.",
        "Check repository_url, .gitmodules and the url.*.insteadOf settings of git.",
    ),
    _explain(
        r"not our ref|unadvertised object|couldn't find remote ref|reference is not a tree",
        "repository-commit-missing",
        "The server does not have this commit.",
        "Check the hash, and that the commit was pushed.",
    ),
    _explain(
        r"smudge filter lfs failed|git-lfs",
        "repository-lfs-failed",
        "Large files of the repository could not be fetched by git-lfs.",
        "Check the network and `git lfs env`, then try again.",
    ),
    _explain(
        r"certificate|SSL|TLS",
        "repository-tls",
        "No trusted connection to the server could be made.",
        "Check the date of this machine, its certificates and its proxy.",
    ),
    _explain(
        r"could not resolve|name resolution|failed to connect|couldn't connect|connection (refused"
        r"|timed out|reset)|operation timed out|unable to connect|network is unreachable"
        r"|no route to host|too slow|timed out|early EOF|unexpected disconnect|empty reply"
        r"|returned error: (429|5\d\d)|redirects followed|connection closed",
        "repository-unreachable",
        "The repository's server cannot be reached.",
        "Check the network and the address, then try again; "
        "a pinned commit that was fetched before needs no network.",
    ),
    _explain(
        r"inflate|index-pack|unpack-objects",
        "repository-transfer-damaged",
        "What the server sent arrived damaged, and was thrown away.",
        "Try again. If it happens again, check the network and the repository on its server.",
    ),
    _explain(
        r"authentication failed|could not read (username|password)|terminal prompts disabled"
        r"|permission denied|host key verification failed|returned error: 40[13]|access denied",
        "repository-no-access",
        "The server does not let this machine read the repository, or hides that there is none.",
        "Check the address, and store credentials for it (git credential manager or an ssh key): "
        "the launcher never asks for a password.",
    ),
    _explain(
        r"not found|does not appear to be a git repository|does not exist|no such file"
        r"|not a git repository|returned error: 404|not valid: is this a git repository",
        "repository-not-found",
        "There is no git repository at this address.",
        "Check the address for typing errors.",
    ),
)


def _explained(result: CommandResult, command: str, where: str) -> RepositoryError:
    said = result.error_text
    for known in _EXPLANATIONS:
        if re.search(known.pattern, said, re.IGNORECASE):
            last = _last_words(said)
            return RepositoryError(
                known.message.format(files=_files_in(said)),
                code=known.code,
                where=f"{where} ({last})" if last else where,
                fix=known.fix.format(folder=where),
            )
    return RepositoryError(
        f"git {command} failed: {_last_words(said) or f'exit code {result.code}'}",
        code="git-failed",
        where=where,
        fix="Run the same git command by hand to see more.",
    )


def _files_in(said: str) -> str:
    """The first of the files that git lists, each on a line of its own behind a tab."""
    return ", ".join([line.strip() for line in said.splitlines() if line.startswith("\t")][:8])


def _last_words(said: str) -> str:
    """What git complained of, without its progress and its advice."""
    lines = [line.strip() for line in re.split(r"[\r\n]+", said)]
    complaints = [line for line in lines if line.startswith(("fatal:", "error:", "ssh:"))]
    return " ".join((complaints or [line for line in lines if line])[:3])[:500]
