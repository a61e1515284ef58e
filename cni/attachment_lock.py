"""Runs the requests for one attachment one after the other, whichever process they came to.

There is one lock file, with one byte per attachment and program (system.locks). A program that may not write below /run
goes on without a lock, as the reference always does.
"""

from __future__ import annotations

from cni.errors import CniError, Code
from system.locks import FOLDER, PATIENCE, Lock, place

FILE = "attachments"


class AttachmentLock:
    """Holds the lock of one attachment for the time of a `with` block; `names` tell attachments apart.

    Entering raises CniError 11 when another request for the attachment does not end within `patience` seconds.
    """

    __slots__ = ("_lock",)

    def __init__(self, *names: str, folder: str = FOLDER, patience: float = PATIENCE) -> None:
        self._lock = Lock(FILE, place(*names), patience=patience, folder=folder)

    def __enter__(self) -> None:
        try:
            self._lock.__enter__()
        except TimeoutError as held:
            raise CniError(
                Code.TRY_AGAIN_LATER,
                "another request for this container and interface is still running",
                f"{held.strerror}: look what it waits for, or try again",
            ) from held
        except OSError:
            return

    def __exit__(self, *_: object) -> None:
        self._lock.__exit__()
