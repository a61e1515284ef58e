"""Writes Markdown for generated parts of the manual: words of a help text, and tables."""

import re
from collections.abc import Iterable, Sequence

SPECIAL = re.compile(r"([\\`*_{}\[\]<>&~])")
FLAG = re.compile(r"(?<![\w`-])(--?[a-z][\w-]*)")
"""An option in the words of a help text."""


def marked(text: str) -> str:
    """Return plain words as Markdown with the same meaning, options as code."""
    pieces = FLAG.split(" ".join(text.split()))
    return "".join(f"`{piece}`" if at % 2 else SPECIAL.sub(r"\\\1", piece) for at, piece in enumerate(pieces))


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table. Cells are Markdown."""
    lines = [head, ["---" for _ in head], *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
