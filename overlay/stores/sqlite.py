"""The store for one machine: an SQLite file shared by its daemons, each in namespaces of its own.

Keys and values are flannel's. A revision counts every change, and a deleted lease stays as a tombstone for a while, so
that a watch can continue from a recent revision as it can in etcd.

It is for one machine only: SQLite's locks do not work across network file systems, and times are seconds since this
boot, which a changed date does not affect.
"""

import asyncio
import contextlib
import errno
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from overlay.errors import Refused, StoreError, unusable
from overlay.stores import Delta, Snapshot, Update
from overlay.subnet import attributes as values
from overlay.subnet import lease as leases
from overlay.subnet.allocation import Subnet, parse_key
from overlay.subnet.attributes import Attributes
from overlay.subnet.lease import TTL, Lease
from system import folders

POLL = 0.5
"""Seconds between two reads of the revision; each reads one row."""
PATIENCE = 5.0
"""Seconds to wait for another daemon's transaction."""
KEPT_TOMBSTONES = 1000
"""How many revisions a watch may be behind before it gets a snapshot instead."""

_LATER = frozenset(
    {
        *(sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_INTERRUPT),
        *(sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_PROTOCOL),
    }
)
"""SQLite's errors for a file that is good and cannot be used at this moment."""

_Row = tuple[str, object, int, str, float | None]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS leases (
    key TEXT PRIMARY KEY,
    value TEXT,              -- NULL: a tombstone
    revision INTEGER NOT NULL,
    boot TEXT,               -- the boot whose clock `expires` is read from
    expires REAL             -- NULL: never
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS changes ON leases (revision);
INSERT OR IGNORE INTO meta VALUES ('revision', 0), ('horizon', 0);
"""

# A lease written in an earlier boot gets its full time again from this boot on: its host may be starting just now.
_EXPIRED = """
SELECT key FROM leases WHERE value IS NOT NULL AND expires IS NOT NULL
    AND :now > CASE boot WHEN :boot THEN expires ELSE :ttl END
"""
_HELD = "SELECT key, value, revision, boot, expires FROM leases WHERE value IS NOT NULL ORDER BY key"
_CHANGED = "SELECT key, value, revision, boot, expires FROM leases WHERE revision > ? ORDER BY revision"
_UNCHANGED = "SELECT 1 FROM leases WHERE key = ? AND revision = ? AND value IS NOT NULL"


def _make_private(path: str) -> None:
    """Create the file, readable by us alone: a reader could hold a lock that no writer gets past. Raises OSError."""
    folders.make(str(Path(path).parent))
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    for suffix in ("", "-wal", "-shm", "-journal"):
        with contextlib.suppress(FileNotFoundError, PermissionError):
            Path(path + suffix).chmod(0o600)


@dataclass(frozen=True, slots=True)
class Clock:
    """The time, handed in so that tests can choose it."""

    boot: str
    """The id of this boot."""
    now: Callable[[], float]
    """Returns seconds since boot."""


class SqliteStore:
    """One open store file; see the protocol overlay.stores.Store for what the methods promise."""

    exchanges = True

    def __init__(self, path: str, *, clock: Clock, report: Callable[[Refused], None], ttl: float = TTL) -> None:
        """Open or create the file at `path`; raises Refused when it cannot be used, StoreError when it may be later."""
        self._path, self._clock, self._report, self._ttl = path, clock, report, ttl
        self._kept = KEPT_TOMBSTONES
        self.heard = time.monotonic()
        try:
            _make_private(path)
            self._base = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None)
            with contextlib.ExitStack() as unless_ready:
                unless_ready.callback(self._base.close)
                self._base.executescript(_SCHEMA)
                unless_ready.pop_all()
        except (OSError, sqlite3.Error) as problem:
            remedy = "name a writable path on a local disk; a damaged file may be removed, hosts then take new leases"
            cause = _cause(problem, path)
            said = cause.strerror if isinstance(cause, OSError) else cause
            raise unusable(cause, f"cannot be opened as the store: {said}", where=path, remedy=remedy) from problem

    def close(self) -> None:
        """Close the file."""
        self._base.close()

    def initialise(self, config: str) -> str:
        """Store the network config if there is none yet; return the one that is stored now."""
        with self._writing() as base:
            base.execute("INSERT OR IGNORE INTO meta VALUES ('config', ?)", (config,))
            return str(base.execute("SELECT value FROM meta WHERE name = 'config'").fetchone()[0])

    def moved(self) -> None:
        """Do nothing: the file is here."""

    async def read_config(self) -> str:
        """Return the config's text; raises Refused when no daemon has stored one."""
        with self._reading() as base:
            row = base.execute("SELECT value FROM meta WHERE name = 'config'").fetchone()
        if row is None:
            remedy = "give --network CIDR or --net-config FILE at the first start"
            raise Refused("the store has no network config yet", where=self._path, remedy=remedy)
        return str(row[0])

    async def leases(self) -> Snapshot:
        """Return the leases that have not expired."""
        with self._writing() as base:
            self._bury_expired(base)
            return self._snapshot(base)

    async def create(self, subnet: Subnet, attributes: Attributes) -> Lease | None:
        """Create a lease unless another one overlaps the subnet; checked and written in one transaction."""
        with self._writing() as base:
            self._bury_expired(base)
            if any(held.subnet.overlaps(subnet) for held in self._snapshot(base).leases):
                return None
            return self._write(base, subnet, attributes)

    async def replace(self, lease: Lease, attributes: Attributes) -> Lease | None:
        """Write the lease again if its revision is still the one given."""
        with self._writing() as base:
            return self._write(base, lease.subnet, attributes) if self._unchanged(base, lease) else None

    async def remove(self, lease: Lease) -> bool:
        """Delete the lease, leaving a tombstone, if its revision is still the one given."""
        with self._writing() as base:
            if not self._unchanged(base, lease):
                return False
            self._bury(base, lease.subnet.key)
            return True

    async def watch(self, cursor: int) -> AsyncIterator[Update]:
        """Yield what changed after the revision `cursor`, reading it every POLL seconds."""
        while True:
            update = self._since(cursor)
            if update is not None:
                cursor = update.cursor
                yield update
            await asyncio.sleep(POLL)

    def _since(self, cursor: int) -> Update | None:
        with self._reading() as base:
            expired = base.execute(_EXPIRED, self._moment()).fetchone()
            revision = self._number(base, "revision")
        if not expired and revision == cursor:
            return None
        with self._writing() as base:
            self._bury_expired(base)
            if not self._number(base, "horizon") <= cursor <= self._number(base, "revision"):
                return self._snapshot(base)
            return self._delta(base, cursor)

    def _snapshot(self, base: sqlite3.Connection) -> Snapshot:
        rows = base.execute(_HELD).fetchall()
        return Snapshot(self._parsed(rows), self._number(base, "revision"))

    def _delta(self, base: sqlite3.Connection, cursor: int) -> Delta | None:
        rows = base.execute(_CHANGED, (cursor,)).fetchall()
        written = self._parsed([row for row in rows if row[1] is not None])
        gone = [subnet for row in rows if row[1] is None and (subnet := _subnet(row[0]))]
        revision = self._number(base, "revision")
        return Delta(written, tuple(gone), revision) if revision != cursor else None

    def _parsed(self, rows: "list[_Row]") -> tuple[Lease, ...]:
        parsed = [
            leases.parse(str(key), _text(value), version=revision, ttl=self._left(boot, expires))
            for key, value, revision, boot, expires in rows
        ]
        for problem in parsed:
            if isinstance(problem, Refused):
                self._report(problem)
        return tuple(lease for lease in parsed if isinstance(lease, Lease))

    def _left(self, boot: str, expires: float | None) -> float | None:
        if not isinstance(expires, float | int):
            return None
        return max(0.0, (expires if boot == self._clock.boot else self._ttl) - self._clock.now())

    def _write(self, base: sqlite3.Connection, subnet: Subnet, attributes: Attributes) -> Lease:
        revision = self._next(base)
        expires = self._clock.now() + self._ttl
        row = (subnet.key, values.encode(attributes), revision, self._clock.boot, expires)
        base.execute("REPLACE INTO leases VALUES (?, ?, ?, ?, ?)", row)
        return Lease(subnet, attributes, revision, self._ttl)

    def _bury_expired(self, base: sqlite3.Connection) -> None:
        for (key,) in base.execute(_EXPIRED, self._moment()).fetchall():
            self._bury(base, key)

    def _bury(self, base: sqlite3.Connection, key: str) -> None:
        revision = self._next(base)
        base.execute("UPDATE leases SET value = NULL, expires = NULL, revision = ? WHERE key = ?", (revision, key))
        horizon = revision - self._kept
        if base.execute("DELETE FROM leases WHERE value IS NULL AND revision <= ?", (horizon,)).rowcount:
            base.execute("UPDATE meta SET value = ? WHERE name = 'horizon'", (horizon,))

    def _moment(self) -> dict[str, object]:
        return {"boot": self._clock.boot, "now": self._clock.now(), "ttl": self._ttl}

    def _unchanged(self, base: sqlite3.Connection, lease: Lease) -> bool:
        return base.execute(_UNCHANGED, (lease.subnet.key, lease.version)).fetchone() is not None

    def _next(self, base: sqlite3.Connection) -> int:
        base.execute("UPDATE meta SET value = value + 1 WHERE name = 'revision'")
        return self._number(base, "revision")

    def _number(self, base: sqlite3.Connection, name: str) -> int:
        row = base.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        if row is None or not isinstance(row[0], int):
            remedy = "stop all daemons and remove the file; hosts take their leases anew"
            raise Refused(f"meta.{name} is damaged", where=self._path, remedy=remedy)
        return row[0]

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        try:
            yield self._base
        except sqlite3.Error as problem:
            raise StoreError(f"{self._path}: {problem}") from problem
        self.heard = time.monotonic()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """Run one transaction; other daemons' writes wait for its end."""
        with self._reading() as base:
            base.execute("BEGIN IMMEDIATE")  # takes the write lock before the first read, so that no decision is stale
            try:
                yield base
            except BaseException:
                base.rollback()
                raise
            base.commit()


def _cause(problem: Exception, path: str) -> Exception:
    """Return the system's error behind SQLite's; for a file SQLite cannot open, the error of opening it ourselves."""
    code = getattr(problem, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if code in _LATER:
        return OSError(errno.EAGAIN, str(problem))
    if code != sqlite3.SQLITE_CANTOPEN:
        return problem
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK))
    except OSError as reason:
        return reason
    return OSError(errno.EAGAIN, str(problem))


def _text(value: object) -> str | bytes:
    return value if isinstance(value, str | bytes) else str(value)


def _subnet(key: str) -> Subnet | None:
    try:
        return parse_key(str(key))
    except ValueError:
        return None
