"""Prints one page of the manual before it is installed: `python -m build.manual.show tulle.1 | man -l -`."""

import sys
from collections.abc import Sequence

from build.manual import sources


def main(arguments: Sequence[str]) -> int:
    """Print the page with this file name. Return the exit code: 1 for a wrong source, 2 for an unknown name."""
    pages = {f"{page.name}.{page.section}": page for page in sources.pages()}
    if len(arguments) != 1 or arguments[0] not in pages:
        print(f"usage: python -m build.manual.show PAGE, one of: {' '.join(pages)}", file=sys.stderr)
        return 2
    try:
        print(pages[arguments[0]].text(), end="")
    except sources.SourceError as wrong:
        print(f"manual: {wrong}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
