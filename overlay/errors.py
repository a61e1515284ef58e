"""The two ways the daemon says no: a person must act (Refused), or time may help (Unavailable).

Must not know who catches them: main turns them into exit codes, the loops of the daemon into a retry.
"""


class Refused(Exception):  # noqa: N818 - the word the operator reads; "error" would add nothing
    """A setting, file or store content that cannot work: what is wrong, where it stands, what to do about it."""

    def __init__(self, what: str, *, where: str = "", remedy: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.remedy = remedy

    def __str__(self) -> str:
        """Give one sentence: `where: what; remedy`."""
        located = f"{self.where}: {self.what}" if self.where else self.what
        return f"{located}; {self.remedy}" if self.remedy else located


class Unavailable(Exception):  # noqa: N818 - it says what is true of the host or store, now
    """Something outside is not there yet (an interface, a lock, the store); the same start may succeed later."""


class StoreError(Unavailable):
    """The store cannot answer now (locked, unreachable, half-written)."""
