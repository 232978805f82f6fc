"""The rig file: make a commented one, or show what applies here and from where.

The file that counts is the one that a parameter file names as rig_config_path, else the one in
the variable OPENSCOPE_RIG_CONFIG, else C:/RigConfig/rig_config.toml on Windows and
/opt/rigconfig/rig_config.toml elsewhere.

example:
  openscope rig init
  openscope rig show oddball.json
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ..errors import ParameterError

_TEMPLATE = """\
# What this rig says of itself to every OpenScope session that runs on it.
#
# Each key is a default for the parameter of that name: a parameter file, the answers at the start
# and the command line lie over it. Take the # away from what you need. Texts stand in quotes;
# Windows paths are written with / or in single quotes: 'D:\\data'.

# The rig's name. One session at a time runs on it; without one it is the computer's name.
rig_id = {rig_id}

# Where session folders are made.
# output_root_folder = 'D:/sessions'

# Folder of the checkouts of experiment repositories.
# local_repository_path = 'C:/BonsaiTemp'

# The Python that runs Python tasks and the steps of a repository.
# python_exe_path = 'C:/Python311/python.exe'

# Folder that gets a second copy of every log, such as a share.
# centralized_log_directory = '//server/share/logs'

# The metadata service that steps ask for subjects, procedures and projects.
# metadata_service_base_url = 'http://metadata.example.org'

# Values of your own, for {{rig_param:KEY}} in parameter files:
# "script_parameters": {{"Port": "{{rig_param:stimulus_port}}"}}
# stimulus_port = 'COM3'

# A subject or a user written here is only offered when a session asks for one, never taken.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verbs below `openscope rig`."""
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", dest="rig_verb", required=True)
    init = verbs.add_parser(
        "init",
        help="write a commented rig file, never over another",
        description="Write a commented rig file. A file that is there is never touched.",
    )
    init.add_argument(
        "file", nargs="?", metavar="FILE", help="where (default: the place where it is looked for)"
    )
    init.set_defaults(rig_main=init_main, parser=init)
    show = verbs.add_parser(
        "show",
        help="show which rig file applies here and what it says",
        description="Show which rig file applies here, what it says, and what a parameter file "
        "lays over it.",
    )
    show.add_argument("param_file", nargs="?", metavar="PARAMS", help="JSON parameter file")
    show.set_defaults(rig_main=show_main, parser=show)


def main(args: argparse.Namespace) -> int:
    """Carry it out."""
    done: int = args.rig_main(args)
    return done


def init_main(args: argparse.Namespace) -> int:
    """Write a new rig file."""
    import json
    import platform

    from ..parameters.rigfile import usual_place

    path = Path(args.file or usual_place()).expanduser().absolute()
    name = json.dumps(platform.node() or "rig", ensure_ascii=False)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as stream:
            stream.write(_TEMPLATE.format(rig_id=name))
    except FileExistsError as error:
        raise ParameterError(
            "There is a rig file already, and it is not touched.",
            code="rig-file-there",
            where=str(path),
            fix="Edit it; `openscope rig show` shows what it says.",
        ) from error
    except OSError as error:
        raise ParameterError(
            f"The rig file cannot be written: {error.strerror or error}",
            code="rig-file-unwritable",
            where=str(path),
            fix="Name another place (openscope rig init FILE) and put it into "
            "OPENSCOPE_RIG_CONFIG, or ask for the rights.",
        ) from error
    sys.stdout.write(f"Wrote {path}. Edit it, then look at it with: openscope rig show\n")
    return 0


def show_main(args: argparse.Namespace) -> int:
    """Show the rig file that applies."""
    from ..display.screens import show_origins, show_problems
    from ..parameters.layers import RIG_FILE, given, offers
    from ..parameters.model import ASKED_FOR, canonical
    from ..parameters.rigfile import RIG_CONFIG_VARIABLE, find_rig_file, usual_place

    asked = given(Path(args.param_file) if args.param_file else None)
    rig = find_rig_file(asked)
    show_problems(rig.findings)
    if rig.path is None:
        sys.stdout.write(
            "No rig file applies here: no parameter file names one as rig_config_path, "
            f"{RIG_CONFIG_VARIABLE} is not set, and there is none at {usual_place()}.\n"
            "Make one with: openscope rig init\n"
        )
        return 0
    sys.stdout.write(f"{rig.path}  (from: {rig.named_by})\n")
    offered = offers({}, rig.values)
    rows = []
    for key, value in rig.values.items():
        name = canonical(key)
        if name in ASKED_FOR:
            rows.append((key, value, "only offered" if name in offered else "cannot be offered"))
        elif asked.get(name) is not None:
            rows.append((key, asked[name], f"parameter file, over {value!r}"))
        else:
            rows.append((key, value, RIG_FILE))
    show_origins(rows)
    return 0
