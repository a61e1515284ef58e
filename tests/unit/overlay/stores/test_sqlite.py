"""Claims: keys and values in the file are flannel's bytes; creation is refused while anything overlaps, replacing and removing
while the lease is not the one given; leases end after their time and after a reboot only when a whole life has passed; a
watch tells what changed since its cursor and starts over when that is too old; hostile contents are reported, not raised; a file that
cannot be opened just now may be later; the config of the first daemon stays; nobody else can open the file, also one that an earlier
daemon made readable.
"""

import asyncio
import errno
import os
import sqlite3
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any, TypeVar

import pytest

from overlay.errors import Refused, StoreError
from overlay.stores import Delta, Snapshot, Update, sqlite
from overlay.stores.sqlite import Clock, SqliteStore
from overlay.subnet.allocation import Subnet
from overlay.subnet.attributes import Attributes
from overlay.subnet.lease import Lease

A, B = Subnet(IPv4Network("10.5.9.0/24")), Subnet(IPv4Network("10.5.10.0/24"))
VALUES = Attributes(IPv4Address("192.0.2.3"), None, "vxlan", '{"VNI":1,"VtepMAC":"c6:d2:32:6f:8f:44"}')
T = TypeVar("T")


@dataclass(slots=True)
class Place:
    """A store file, the time, and what was reported."""

    path: Path
    time: float = 100.0
    boot: str = "first"
    reported: list[Refused] = field(default_factory=list)

    def open(self) -> SqliteStore:
        return SqliteStore(
            str(self.path), clock=Clock(self.boot, lambda: self.time), report=self.reported.append, ttl=60.0
        )

    def execute(self, statement: str, *values: object) -> list[Any]:
        base = sqlite3.connect(self.path)
        with base:
            rows = base.execute(statement, values).fetchall()
        base.close()
        return rows


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "sub" / "net.db")


@pytest.fixture
def store(place: Place) -> Iterator[SqliteStore]:
    opened = place.open()
    yield opened
    opened.close()


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


def create(store: SqliteStore, subnet: Subnet) -> Lease:
    lease = run(store.create(subnet, VALUES))
    assert lease is not None
    return lease


def test_keys_and_values_in_the_file_are_flannels_bytes(place: Place, store: SqliteStore) -> None:
    create(store, A)
    assert place.execute("SELECT key, value FROM leases") == [
        (
            "10.5.9.0-24",
            '{"PublicIP":"192.0.2.3","PublicIPv6":null,"BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"c6:d2:32:6f:8f:44"}}',
        )
    ]


def test_two_daemons_see_each_others_leases(place: Place, store: SqliteStore) -> None:
    create(store, A)
    other = place.open()
    assert [lease.subnet for lease in run(other.leases()).leases] == [A]
    other.close()


@pytest.mark.parametrize("wanted", [A, Subnet(IPv4Network("10.5.8.0/23")), Subnet(IPv4Network("10.5.9.128/25"))])
def test_nothing_is_created_where_a_lease_overlaps(store: SqliteStore, wanted: Subnet) -> None:
    create(store, A)
    assert run(store.create(wanted, VALUES)) is None


def test_a_lease_is_replaced_only_while_it_is_the_one_given(store: SqliteStore) -> None:
    first = create(store, A)
    second = run(store.replace(first, VALUES))
    assert second is not None
    assert second.version > first.version
    assert run(store.replace(first, VALUES)) is None


def test_a_lease_is_removed_only_while_it_is_the_one_given(store: SqliteStore) -> None:
    first = create(store, A)
    second = run(store.replace(first, VALUES))
    assert second is not None
    assert [run(store.remove(first)), run(store.remove(second)), run(store.remove(second))] == [False, True, False]


def test_a_lease_ends_after_its_time(place: Place, store: SqliteStore) -> None:
    create(store, A)
    place.time += 59
    assert [lease.ttl for lease in run(store.leases()).leases] == [1.0]
    place.time += 2
    assert run(store.leases()).leases == ()


def test_a_reboot_gives_every_lease_a_whole_life_again(place: Place) -> None:
    store = place.open()
    create(store, A)
    store.close()
    place.boot, place.time = "second", 55.0
    rebooted = place.open()
    assert [lease.ttl for lease in run(rebooted.leases()).leases] == [5.0]
    place.time = 61.0
    assert run(rebooted.leases()).leases == ()
    rebooted.close()


async def first_updates(
    store: SqliteStore, cursor: int, *acts: Callable[[], Coroutine[Any, Any, object]]
) -> list[Update]:
    """Give one update for each act, in turn."""
    updates = []
    watch = store.watch(cursor)
    for act in acts:
        await act()
        updates.append(await anext(watch))
    return updates


def test_a_watch_tells_what_was_written_and_what_is_gone(place: Place, store: SqliteStore) -> None:
    lease = create(store, A)
    cursor = run(store.leases()).cursor

    async def write() -> None:
        await store.create(B, VALUES)

    async def end() -> None:
        assert await store.remove(lease)

    written, gone = run(first_updates(store, cursor, write, end))
    assert isinstance(written, Delta)
    assert isinstance(gone, Delta)
    assert ([one.subnet for one in written.written], written.gone) == ([B], ())
    assert (gone.written, gone.gone, gone.cursor) == ((), (A,), cursor + 2)


def test_a_watch_tells_when_a_lease_ends(place: Place, store: SqliteStore) -> None:
    create(store, A)

    async def age() -> None:
        place.time += 61

    (update,) = run(first_updates(store, run(store.leases()).cursor, age))
    assert isinstance(update, Delta)
    assert update.gone == (A,)


@pytest.mark.parametrize("cursor", [0, 10**9])
def test_a_watch_from_a_cursor_that_is_too_old_or_from_elsewhere_starts_over(store: SqliteStore, cursor: int) -> None:
    store._kept = 3
    for number in range(4):
        assert run(store.remove(create(store, Subnet(IPv4Network((0x0A060000 + 256 * number, 24))))))
    create(store, B)

    async def nothing() -> None:
        return

    (update,) = run(first_updates(store, cursor, nothing))
    assert isinstance(update, Snapshot)
    assert [lease.subnet for lease in update.leases] == [B]


HOSTILE = [
    ("10.5.9.0-33", "{}"),
    ("foo", '{"PublicIP":"192.0.2.1"}'),
    ("10.5.9.0-24", "[]"),
    ("10.5.9.0-24", b"\xff\x00"),
    ("10.5.9.0-24", 17),
    ("10.5.9.0-24", '{"PublicIP":null}'),
    ("10.5.9.0-24", '{"a":' * 50_000),
    (b"\xff", "{}"),
]


@pytest.mark.parametrize(("key", "value"), HOSTILE)
def test_hostile_entries_are_reported_and_left_out(
    place: Place, store: SqliteStore, key: object, value: object
) -> None:
    create(store, B)
    place.execute("INSERT INTO leases VALUES (?, ?, 99, 'b', NULL)", key, value)
    place.execute("UPDATE meta SET value = 99 WHERE name = 'revision'")
    assert [lease.subnet for lease in run(store.leases()).leases] == [B]
    assert place.reported


def test_a_damaged_revision_is_refused_with_a_remedy(place: Place, store: SqliteStore) -> None:
    place.execute("UPDATE meta SET value = 'x' WHERE name = 'revision'")
    with pytest.raises(Refused, match="revision is damaged; stop all daemons"):
        run(store.leases())


def test_a_file_that_is_no_database_is_refused(place: Place) -> None:
    place.path.parent.mkdir()
    place.path.write_text("hello " * 1000)
    with pytest.raises(Refused, match="cannot be opened as the store"):
        place.open()


@pytest.mark.parametrize(
    ("number", "kind"), [(errno.EMFILE, StoreError), (errno.ENOSPC, StoreError), (errno.EACCES, Refused)]
)
def test_a_file_that_cannot_be_opened_just_now_may_be_later(
    place: Place, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[Exception]
) -> None:
    def closed(*_: object, **__: object) -> int:
        raise OSError(number, os.strerror(number))

    place.path.mkdir(parents=True)  # SQLite cannot open a directory and does not say why
    monkeypatch.setattr(os, "open", closed)
    with pytest.raises(kind, match="cannot be opened as the store"):
        place.open()


def test_a_store_that_another_program_holds_at_the_start_may_answer_later(
    place: Place, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "PATIENCE", 0.05)
    base = sqlite3.connect(place.path)
    base.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StoreError, match="locked"):
        place.open()
    base.close()


def test_a_store_that_is_locked_too_long_may_answer_later(place: Place, store: SqliteStore) -> None:
    store._base.execute("PRAGMA busy_timeout = 10")
    blocker = sqlite3.connect(place.path, isolation_level=None)
    blocker.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StoreError, match="locked"):
        run(store.leases())
    blocker.close()
    assert run(store.leases()).leases == ()


def test_the_config_of_the_first_daemon_stays(store: SqliteStore) -> None:
    assert [store.initialise("first"), store.initialise("second"), run(store.read_config())] == ["first"] * 3


def test_a_store_without_config_says_how_to_give_one(store: SqliteStore) -> None:
    with pytest.raises(Refused, match="--network CIDR or --net-config FILE"):
        run(store.read_config())


@pytest.mark.parametrize("umask", [0o000, 0o022], ids=oct)
def test_nobody_else_can_open_the_file(place: Place, umask: int) -> None:
    before = os.umask(umask)
    try:
        place.open().close()
        place.path.chmod(0o644)  # as an earlier version left it
        store = place.open()
        create(store, A)
        modes = {each.name: each.stat().st_mode & 0o777 for each in place.path.parent.iterdir()}
        store.close()
    finally:
        os.umask(before)
    assert set(modes.values()) == {0o600}, modes
    assert place.path.parent.stat().st_mode & 0o777 == 0o755
