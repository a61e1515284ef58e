"""Tells the version of the programs, which is not the protocol's: runtimes read it in the first line of a program's words about itself.

It stands in pyproject.toml alone, and an installed or frozen tree carries it as the metadata of a distribution. It counts on from
the reference's releases, because nerdctl compares it with theirs. Imported where somebody asks for it: importlib.metadata takes 15 ms.
"""

from __future__ import annotations


def version() -> str:
    """Return the version of the installed distribution; a checkout that is not installed has that of its pyproject.toml."""
    from importlib import metadata  # noqa: PLC0415 - no verb needs it

    try:
        return metadata.version("tulle")
    except metadata.PackageNotFoundError:
        return _declared()


def _declared() -> str:
    import tomllib  # noqa: PLC0415 - the same
    from pathlib import Path  # noqa: PLC0415

    declaration = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8"))
    return str(declaration["project"]["version"])
