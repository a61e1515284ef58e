"""Reads tulled's settings: from the same sources as tulled, with tulled's own parser.

The sources are the file that its unit uses, the environment, which wins over the file, and the words after `--`, which
win over both. The daemon itself is not asked, so that this works when it does not run.
"""

import argparse
import io
import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from cli.inspect import foreign_files
from overlay.config import settings
from overlay.config.settings import Settings
from overlay.errors import Refused

FILE = "/etc/default/tulled"


def declare(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where the settings are to `parser`."""
    parser.add_argument(
        "--settings-file", default=FILE, metavar="FILE", help="the settings tulled runs with (default %(default)s)"
    )
    parser.add_argument("settings", nargs="*", metavar="SETTING", help="after --: flags of tulled that count before it")


def read(options: argparse.Namespace, environ: Mapping[str, str]) -> tuple[Settings, ...]:
    """Return the settings of every network that tulled has here. They create no network. Raises Refused."""
    if options.settings_file != FILE and not Path(options.settings_file).exists():
        raise Refused(
            "there is no such file", where=options.settings_file, remedy=f"leave --settings-file out for {FILE}"
        )
    given = {**variables(options.settings_file), **environ}
    try:
        chosen = settings.parse(options.settings, given, io.StringIO())
    except SystemExit:
        raise Refused("--help is tulled's own", remedy="run tulled --help") from None
    return replace(chosen, network="", net_config="").each


def lease_files(environ: Mapping[str, str], path: str | Path = FILE) -> tuple[str, ...]:
    """Return the lease files of all networks that tulled has by its settings. Raises Refused."""
    given = {**variables(path), **environ}
    return tuple(each.subnet_file for each in settings.parse([], given, io.StringIO()).each)


def variables(path: str | Path) -> dict[str, str]:
    """Return the assignments in an EnvironmentFile (systemd.exec(5)); none when it is absent. Raises Refused."""
    try:
        text = foreign_files.text(Path(path))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as problem:
        raise _unreadable(str(path), problem) from None
    return assignments(text, str(path))


def assignments(text: str, path: str) -> dict[str, str]:
    """Return the assignments in the text of an EnvironmentFile. Raises Refused that names `path`."""
    try:
        words = shlex.split(text, comments=True)
    except ValueError as problem:
        raise _unreadable(path, problem) from None
    return dict(word.split("=", 1) for word in words if "=" in word)


def _unreadable(path: str, problem: Exception) -> Refused:
    return Refused(f"cannot be read: {problem}", where=path, remedy="write lines NAME=VALUE")
