"""How the command learns what tulled goes by: from the very settings tulled has, read by tulled's own parser.

They come from the file that its unit hands to it, from the environment over that, and over both from the words after `--`. The
daemon itself is not asked: what it does is seen in the kernel and the store, which also answer when it is gone. Must not open any
store.
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
    """Add what says where the settings are to `parser`."""
    parser.add_argument(
        "--settings-file", default=FILE, metavar="FILE", help="the settings tulled runs with (default %(default)s)"
    )
    parser.add_argument("settings", nargs="*", metavar="SETTING", help="after --: flags of tulled that count before it")


def read(options: argparse.Namespace, environ: Mapping[str, str]) -> tuple[Settings, ...]:
    """Return the settings of every network tulled keeps here; raises Refused. They found no network."""
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
    """Return the lease file of every network that tulled keeps here by its settings; raises Refused."""
    given = {**variables(path), **environ}
    return tuple(each.subnet_file for each in settings.parse([], given, io.StringIO()).each)


def variables(path: str | Path) -> dict[str, str]:
    """Return the assignments of an EnvironmentFile (systemd.exec(5)); a file that is absent has none. Raises Refused."""
    try:
        text = foreign_files.text(Path(path))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as problem:
        raise _unreadable(str(path), problem) from None
    return assignments(text, str(path))


def assignments(text: str, path: str) -> dict[str, str]:
    """Return the assignments in the text of an EnvironmentFile; raises Refused naming `path`."""
    try:
        words = shlex.split(text, comments=True)
    except ValueError as problem:
        raise _unreadable(path, problem) from None
    return dict(word.split("=", 1) for word in words if "=" in word)


def _unreadable(path: str, problem: Exception) -> Refused:
    return Refused(f"cannot be read: {problem}", where=path, remedy="write lines NAME=VALUE")
