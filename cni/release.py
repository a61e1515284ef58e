"""The release of the programs, which is not the protocol's version; runtimes read it from a program's first line.

It is written in pyproject.toml only; an installed or frozen tree has it as metadata of the distribution. It continues
the reference's release numbers, because nerdctl compares it with those. It is imported only where it is needed, because
importlib.metadata takes 15 ms.
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
