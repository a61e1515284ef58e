"""The two errors of the daemon: a person must act (Refused), or time may help (Unavailable).

main turns them into exit codes; the loops of the daemon try again.
"""

import errno

PASSING = frozenset(
    {
        *(errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.ENOSPC, errno.EDQUOT, errno.EAGAIN),
        *(errno.EINTR, errno.EIO, errno.EBUSY, errno.ESTALE, errno.ETIMEDOUT, errno.ENOLCK),
    }
)
"""Errors after which the same call may succeed later without a changed setting: full tables, memory or disks."""


class Refused(Exception):  # noqa: N818 - the word the operator reads; "error" would add nothing
    """A setting, file or store content that cannot work: what is wrong, where it is, what to do about it."""

    def __init__(self, what: str, *, where: str = "", remedy: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.remedy = remedy

    def __str__(self) -> str:
        """Return one sentence: `where: what; remedy`."""
        located = f"{self.where}: {self.what}" if self.where else self.what
        return f"{located}; {self.remedy}" if self.remedy else located


class Unlisted(Refused):
    """The hosts file does not list this host: a daemon waits until the file or the address changes, without a lease."""


class Unavailable(Exception):  # noqa: N818 - it says what is true of the host or store, now
    """Something is not there yet (an interface, a lock, the store); the same start may succeed later."""


class StoreError(Unavailable):
    """The store cannot answer now (locked, unreachable, half-written)."""


def unusable(problem: Exception, what: str, *, where: str, remedy: str) -> Refused | StoreError:
    """Return what to raise for a file that cannot be used: StoreError when the reason passes by itself, else Refused.

    Only errors of Python itself are looked at: in an exception of a library the number has another meaning.
    """
    if isinstance(problem, OSError) and type(problem).__module__ == "builtins" and problem.errno in PASSING:
        return StoreError(f"{where}: {what}")
    return Refused(what, where=where, remedy=remedy)
