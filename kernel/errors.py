"""The one error this package raises: errno, the request in words, and the kernel's own message where it gave one.

Callers see no errors of struct or of a program, and need not parse a text to know what happened.
"""

import errno
import os

GONE = frozenset({errno.ENODEV, errno.ENXIO, errno.ENOENT, errno.ESRCH, errno.EADDRNOTAVAIL})
"""What the kernel answers when the link, route, neighbour, file or address to delete is not there."""

UNSUPPORTED = frozenset({errno.ENOPKG, errno.EOPNOTSUPP, errno.EPROTONOSUPPORT, errno.EAFNOSUPPORT})
"""What is answered when the kernel lacks the feature, or the program that would ask for it is not installed."""


class KernelError(OSError):
    """A refusal: `errno`, `what` was asked, in words; str() is both with the kernel's reason, without a number."""

    def __init__(self, number: int, what: str, reason: str = "") -> None:
        meaning = os.strerror(number)
        super().__init__(number, f"{what}: {reason} ({meaning})" if reason else f"{what}: {meaning}")
        self.what = what

    def __str__(self) -> str:
        return str(self.strerror)

    @property
    def gone(self) -> bool:
        """True when what was to be changed or deleted is already absent."""
        return self.errno in GONE

    @property
    def unsupported(self) -> bool:
        """True when this host cannot do it at all: so nobody can have done it here either."""
        return self.errno in UNSUPPORTED

    @property
    def exists(self) -> bool:
        """True when what was to be created is already there."""
        return self.errno == errno.EEXIST

    @property
    def hint(self) -> str:
        """What to do about it, or the empty string."""
        from kernel import remedies  # noqa: PLC0415 - what nobody refuses costs no table

        row = remedies.row(self.errno or 0, str(self))
        return row.remedy if row else ""


class NamespaceGone(KernelError):  # noqa: N818 - the name says what is true; DEL catches it and goes on
    """A namespace path that is absent or is no (longer a) network namespace."""
