"""Makes folders with the mode they need, whatever the umask of the process.

In a folder that everybody can write to, another user could replace our files.
"""

from __future__ import annotations

import contextlib
import os


def make(path: str, mode: int = 0o755) -> None:
    """Have a folder at `path`; a new one gets `mode`, and missing ones above it 0755. Raises OSError."""
    try:
        os.mkdir(path, mode)  # noqa: PTH102 - pathlib costs milliseconds
    except FileExistsError:
        if not os.path.isdir(path):  # noqa: PTH112
            raise
        return
    except FileNotFoundError:
        above = os.path.dirname(path)  # noqa: PTH120
        if above in ("", path):
            raise
        make(above)
        with contextlib.suppress(FileExistsError):  # somebody else was faster
            os.mkdir(path, mode)  # noqa: PTH102 - once: /proc says again that there is nothing to make it in
    os.chmod(path, mode)  # noqa: PTH101
