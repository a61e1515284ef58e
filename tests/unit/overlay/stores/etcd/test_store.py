"""Claims, against a real etcd: keys and values are flannel's bytes, for every backend and both families; a lease is created once,
under a lease of 24 h, while nothing overlaps it; a renewal is written while the key names our PublicIP or is gone, whatever the
revision, and never over another host; reservations stay without a lease; of two that overlap the later one goes; nothing that could
hurt a peer is written; a watch tells changes, expiry and deletions, goes on after a restart, starts over after a compaction, gives hosts
time to come back after a restore, and leaves bad entries out; nothing that a store contains can raise.
"""

import asyncio
import io
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overlay.config import network
from overlay.errors import Refused, StoreError
from overlay.monitoring.log import Log
from overlay.stores import Delta, Snapshot, Update
from overlay.stores.etcd import keys
from overlay.stores.etcd.client import Client, Credentials
from overlay.stores.etcd.messages import KeyValue
from overlay.stores.etcd.store import EtcdStore
from overlay.subnet.allocation import Subnet
from overlay.subnet.attributes import Attributes, encode
from overlay.subnet.lease import TTL, Lease
from overlay.subnet.manager import Clock, LeaseManager
from overlay.subnet.state_machine import LeasePolicy, LeaseState
from tests.lab import waiting
from tests.lab.etcd import Etcd

T = TypeVar("T")
ME, OTHER = IPv4Address("192.0.2.3"), IPv4Address("192.0.2.4")
SIX = IPv6Address("2001:db8::3")
A, B = Subnet(IPv4Network("10.5.9.0/24")), Subnet(IPv4Network("10.5.10.0/24"))
DUAL = Subnet(IPv4Network("10.5.9.0/24"), IPv6Network("fd00:12:13::/56"))
DATA = '{"VNI":1,"VtepMAC":"c6:d2:32:6f:8f:44"}'
MINE = Attributes(ME, None, "vxlan", DATA)
BOTH = Attributes(ME, SIX, "vxlan", DATA, DATA)
THEIRS = '{"PublicIP":"192.0.2.4","PublicIPv6":null}'


@dataclass(slots=True)
class Place:
    """A prefix of its own in an etcd, and what was reported."""

    etcd: Etcd
    prefix: str
    ttl: float = TTL
    reported: list[Refused] = field(default_factory=list)
    credentials: Credentials = field(default_factory=Credentials)

    def key(self, subnet: Subnet | str) -> str:
        return f"{self.prefix}/subnets/{subnet if isinstance(subnet, str) else subnet.key}"

    def run(self, work: Callable[[EtcdStore], Coroutine[Any, Any, T]]) -> T:
        """Do some work with a store of one event loop's life."""

        async def whole() -> T:
            client = Client(keys.endpoints(self.etcd.url), self.credentials)
            store = EtcdStore(client, self.prefix, report=self.reported.append, ttl=self.ttl)
            try:
                return await work(store)
            finally:
                store.close()

        return asyncio.run(whole())

    def create(self, subnet: Subnet, values: Attributes = MINE) -> Lease | None:
        return self.run(lambda store: store.create(subnet, values))

    def created(self, subnet: Subnet, values: Attributes = MINE) -> Lease:
        lease = self.create(subnet, values)
        assert lease is not None
        return lease

    def listed(self) -> list[Lease]:
        return list(self.run(lambda store: store.leases()).leases)

    def leases_left(self) -> int:
        """Count etcd's leases."""
        return len(self.etcd.ctl("lease", "list").split(b"\n")) - 2

    def ttl_of(self, key: str) -> int:
        """Give etcd's seconds for a key's lease, -1 for a key without one."""
        number = self.etcd.ctl("get", "-w=fields", key).split(b'"Lease" : ')[1].split()[0]
        if number == b"0":
            return -1
        said = self.etcd.ctl("lease", "timetolive", f"{int(number):x}").decode()
        return int(said.split("remaining(")[1].split("s)")[0])


@pytest.fixture
def place(member: Etcd) -> Place:
    return Place(member, f"/test/{uuid4().hex}")


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Place]:
    """An etcd that the test may stop, freeze and restore."""
    etcd = Etcd(tmp_path / "etcd").start()
    yield Place(etcd, "/coreos.com/network")
    etcd.thaw()
    etcd.stop()


def attributes(kind: str, data: str = "", *, dual: bool = False, v6: str = "") -> Attributes:
    return Attributes(ME, SIX if dual else None, kind, data, v6)


WG = '{"PublicKey":"aGVsbG8gaGVsbG8gaGVsbG8gaGVsbG8gaGVsbG8gaGU=","Port":51820}'
WG6 = WG.replace("51820", "51821")
VECTORS = [
    ("vxlan", A, MINE, f'{{"PublicIP":"192.0.2.3","PublicIPv6":null,"BackendType":"vxlan","BackendData":{DATA}}}'),
    ("vxlan dual", DUAL, BOTH, f'{{"PublicIP":"192.0.2.3","PublicIPv6":"2001:db8::3","BackendType":"vxlan","BackendData":{DATA},"BackendV6Data":{DATA}}}'),
    ("host-gw", A, attributes("host-gw"), '{"PublicIP":"192.0.2.3","PublicIPv6":null,"BackendType":"host-gw"}'),
    ("host-gw dual", DUAL, attributes("host-gw", dual=True), '{"PublicIP":"192.0.2.3","PublicIPv6":"2001:db8::3","BackendType":"host-gw"}'),
    ("udp", A, attributes(""), '{"PublicIP":"192.0.2.3","PublicIPv6":null}'),
    ("wireguard", A, attributes("wireguard", WG), f'{{"PublicIP":"192.0.2.3","PublicIPv6":null,"BackendType":"wireguard","BackendData":{WG}}}'),
    ("wireguard dual", DUAL, attributes("wireguard", WG, dual=True, v6=WG6), f'{{"PublicIP":"192.0.2.3","PublicIPv6":"2001:db8::3","BackendType":"wireguard","BackendData":{WG},"BackendV6Data":{WG6}}}'),
    ("ipip", A, attributes("ipip"), '{"PublicIP":"192.0.2.3","PublicIPv6":null,"BackendType":"ipip"}'),
    ("extension", A, attributes("extension", '"<a & b>"'), '{"PublicIP":"192.0.2.3","PublicIPv6":null,"BackendType":"extension","BackendData":"\\u003ca \\u0026 b\\u003e"}'),
]  # fmt: skip


@pytest.mark.parametrize(
    ("subnet", "wanted", "value"), [case[1:] for case in VECTORS], ids=[case[0] for case in VECTORS]
)
def test_key_and_value_are_flannels_bytes(place: Place, subnet: Subnet, wanted: Attributes, value: str) -> None:
    place.created(subnet, wanted)
    name = "10.5.9.0-24&fd00:12:13::-56" if subnet.ipv6 else "10.5.9.0-24"
    assert place.etcd.get(place.prefix, "--prefix") == f"{place.prefix}/subnets/{name}\n{value}".encode()
    assert [(lease.subnet, encode(lease.attributes)) for lease in place.listed()] == [(subnet, value)]


def test_a_new_lease_lives_24_hours(place: Place) -> None:
    assert place.created(A).ttl == 86_400
    assert 86_390 <= place.ttl_of(place.key(A)) <= 86_400


@pytest.mark.parametrize("wanted", [A, Subnet(IPv4Network("10.5.8.0/23")), Subnet(IPv4Network("10.5.9.128/25"))])
def test_nothing_is_created_where_a_lease_overlaps_and_no_empty_lease_stays(place: Place, wanted: Subnet) -> None:
    place.created(A)
    before = place.leases_left()
    assert place.create(wanted, Attributes(OTHER)) is None
    assert place.leases_left() == before


def test_of_hosts_that_race_for_one_subnet_one_gets_it(place: Place) -> None:
    async def race(store: EtcdStore) -> list[Lease | None]:
        return await asyncio.gather(*(store.create(A, Attributes(ME + number)) for number in range(8)))

    before = place.leases_left()
    won = [lease for lease in place.run(race) if lease]
    assert [lease.attributes for lease in won] == [lease.attributes for lease in place.listed()]
    assert place.leases_left() == before + 1


def test_of_hosts_that_race_for_one_ipv6_half_the_first_keeps_it(place: Place) -> None:
    rivals = [Subnet(IPv4Network((0x0A060000 + 256 * number, 24)), DUAL.ipv6) for number in range(4)]

    async def race(store: EtcdStore) -> list[Lease | None]:
        return await asyncio.gather(*(store.create(rival, BOTH) for rival in rivals))

    won = [lease.subnet for lease in place.run(race) if lease]
    assert len(won) == 1
    assert [lease.subnet for lease in place.listed()] == won


def test_a_renewal_begins_a_new_life_with_new_words(place: Place) -> None:
    place.ttl = 600.0
    lease = place.created(A)
    place.ttl = TTL
    changed = attributes("host-gw")
    renewed = place.run(lambda store: store.replace(lease, changed))
    assert renewed is not None
    assert (renewed.ttl, renewed.version > lease.version) == (86_400, True)
    assert place.ttl_of(place.key(A)) > 86_000
    assert [held.attributes for held in place.listed()] == [changed]


def test_a_renewal_needs_no_known_revision(place: Place) -> None:
    lease = place.created(A)
    assert place.run(lambda store: store.replace(Lease(A, MINE, version=lease.version + 10**9), MINE)) is not None


def test_a_renewal_takes_a_key_that_is_gone(place: Place) -> None:
    lease = place.created(A)
    place.etcd.ctl("del", place.key(A))
    assert place.run(lambda store: store.replace(lease, MINE)) is not None
    assert place.ttl_of(place.key(A)) > 86_000


def test_a_host_with_a_new_address_writes_over_its_own_words_alone(place: Place) -> None:
    lease, elsewhere = place.created(A), Attributes(OTHER, None, "vxlan", DATA)
    moved = place.run(lambda store: store.replace(lease, elsewhere))
    assert moved is not None
    assert [held.attributes for held in place.listed()] == [elsewhere]
    place.etcd.put(place.key(A), place.etcd.get(place.key(A)))
    assert place.run(lambda store: store.replace(moved, MINE)) is None, "somebody has written the same since"
    assert [held.attributes for held in place.listed()] == [elsewhere]


def test_after_a_move_calls_and_watch_go_on_over_new_connections(place: Place) -> None:
    async def moving(store: EtcdStore) -> Update:
        watch = store.watch((await store.leases()).cursor)
        told = asyncio.ensure_future(anext(watch))
        await asyncio.sleep(0)
        await store.leases()
        store.moved()
        await asyncio.to_thread(place.etcd.put, place.key(B), THEIRS)
        async with asyncio.timeout(5):
            return await told

    update = place.run(moving)
    assert isinstance(update, Delta)
    assert [lease.subnet for lease in update.written] == [B]


def test_a_renewal_never_writes_over_another_host(place: Place) -> None:
    lease = place.created(A)
    place.etcd.put(place.key(A), THEIRS)
    before = place.leases_left()
    assert place.run(lambda store: store.replace(lease, MINE)) is None
    assert (place.etcd.get(place.key(A)), place.leases_left()) == (THEIRS.encode(), before)


def test_a_renewal_does_not_touch_a_value_it_cannot_read(place: Place) -> None:
    lease = place.created(A)
    place.etcd.put(place.key(A), "{")
    assert place.run(lambda store: store.replace(lease, MINE)) is None
    assert place.etcd.get(place.key(A)) == b"{"


def test_a_reservation_is_honoured_and_stays_one(place: Place) -> None:
    place.etcd.put(place.key(A), '{"PublicIP":"192.0.2.3"}')
    (reserved,) = place.listed()
    assert reserved.ttl is None
    held = place.run(lambda store: store.replace(reserved, MINE))
    assert held is not None
    assert (held.ttl, place.ttl_of(place.key(A))) == (None, -1)
    again = place.run(lambda store: store.replace(held, MINE))
    assert again == held, "what says the same is not written again"
    assert place.create(A, Attributes(OTHER)) is None


def test_only_the_lease_that_was_listed_is_removed(place: Place) -> None:
    old = place.created(A)
    new = place.run(lambda store: store.replace(old, MINE))
    assert new is not None
    assert not place.run(lambda store: store.remove(old))
    assert place.run(lambda store: store.remove(new))
    assert not place.run(lambda store: store.remove(new))


@pytest.mark.parametrize(
    ("subnet", "values", "problem"),
    [
        (DUAL, MINE, "an IPv6 subnet without an IPv6 address"),
        (DUAL, Attributes(ME, SIX, "vxlan", DATA), "without its backend data"),
        (A, Attributes(ME, None, "vxlan"), "without its backend data"),
        (A, Attributes(), "would not read back"),
        (Subnet(IPv4Network("10.5.9.1/32")), MINE, "would not read back"),
    ],
)
def test_nothing_that_could_hurt_a_peer_is_written(
    place: Place, subnet: Subnet, values: Attributes, problem: str
) -> None:
    with pytest.raises(Refused, match=problem):
        place.create(subnet, values)
    assert place.etcd.get(place.prefix, "--prefix") == b""


@pytest.mark.parametrize(
    ("there", "wanted", "values"), [("10.9.0.0-24", DUAL, BOTH), ("10.9.0.0-24&fd00::-64", A, MINE)]
)
def test_keys_of_one_and_of_both_families_are_never_mixed(
    place: Place, there: str, wanted: Subnet, values: Attributes
) -> None:
    place.etcd.put(place.key(there), THEIRS)
    with pytest.raises(Refused, match=r"flanneld cannot live with both: stop all daemons"):
        place.create(wanted, values)


def test_the_config_is_read_and_its_absence_says_where_to_put_it(place: Place) -> None:
    with pytest.raises(StoreError, match=f"no network config at {place.prefix}/config; put one: etcdctl put"):
        place.run(lambda store: store.read_config())
    place.etcd.put(f"{place.prefix}/config", '{"Network":"10.5.0.0/16"}')
    assert place.run(lambda store: store.read_config()) == '{"Network":"10.5.0.0/16"}'


async def updates(store: EtcdStore, cursor: int, *acts: Callable[[], Awaitable[object] | None]) -> list[Update]:
    """Give the first update after each act, within 20 seconds."""
    found: list[Update] = []
    watch = store.watch(cursor)
    for act in acts:
        told = asyncio.ensure_future(anext(watch))
        await asyncio.sleep(0)
        pending = await asyncio.to_thread(act)
        if pending is not None:
            await pending
        async with asyncio.timeout(20):
            found.append(await told)
    await watch.aclose()  # type: ignore[attr-defined]
    return found


def watched(place: Place, *acts: Callable[[], Any], cursor: int | None = None) -> list[Update]:
    async def whole(store: EtcdStore) -> list[Update]:
        start = (await store.leases()).cursor if cursor is None else cursor
        return await updates(store, start, *acts)

    return place.run(whole)


def test_a_watch_tells_what_was_written_and_what_is_gone(place: Place) -> None:
    key = place.key(B)
    written, gone = watched(place, lambda: place.etcd.put(key, THEIRS), lambda: place.etcd.ctl("del", key) and None)
    assert isinstance(written, Delta)
    assert isinstance(gone, Delta)
    assert [(lease.subnet, lease.attributes) for lease in written.written] == [(B, Attributes(OTHER))]
    assert (written.gone, gone.written, gone.gone) == ((), (), (B,))
    assert gone.cursor > written.cursor


def test_a_watch_tells_when_a_lease_ends(place: Place) -> None:
    place.ttl = 2.0
    place.created(A)
    (gone,) = watched(place, lambda: None)
    assert isinstance(gone, Delta)
    assert gone.gone == (A,)


def test_a_watch_tells_changes_since_its_cursor_each_once(place: Place) -> None:
    cursor = place.run(lambda store: store.leases()).cursor
    place.created(A)
    place.etcd.put(place.key(B), THEIRS)
    place.etcd.ctl("del", place.key(B))

    async def gather(store: EtcdStore) -> list[Update]:
        found: list[Update] = []
        async for update in store.watch(cursor):
            found.append(update)
            if isinstance(update, Delta) and update.gone:
                break
        return found

    told = place.run(gather)
    assert all(isinstance(update, Delta) for update in told)
    assert {lease.subnet for update in told if isinstance(update, Delta) for lease in update.written} >= {A}


BAD = [
    ("10.5.9.0-33", THEIRS, ""),
    ("foo", THEIRS, "is no subnet key"),
    ("10.5.9.0-024", THEIRS, "not the way flannel writes 10.5.9.0/24"),
    ("10.5.9.0-24", "[]", ""),
    ("10.5.9.0-24", b"\xff\x00", ""),
    ("10.5.9.0-24", '{"PublicIP":null}', "PublicIP"),
    ("10.5.9.0-24", '{"a":' * 50_000, ""),
]


@pytest.mark.parametrize(("name", "value", "problem"), BAD)
def test_bad_entries_are_reported_with_their_key_and_left_out(
    place: Place, name: str, value: bytes | str, problem: str
) -> None:
    place.etcd.put(place.key(B), THEIRS)
    cursor = place.run(lambda store: store.leases()).cursor
    place.etcd.put(place.key(name), value)
    assert [lease.subnet for lease in place.listed()] == [B]
    (report,) = place.reported
    assert (problem in report.what, report.where) == (True, place.key(name))
    assert "flanneld up to 0.28.9" in report.remedy
    (update,) = watched(place, lambda: place.etcd.put(place.key(B), THEIRS), cursor=cursor)
    assert isinstance(update, Delta)
    assert [lease.subnet for lease in update.written] == [B]


def test_a_key_beside_the_folder_is_reported_too(place: Place) -> None:
    place.etcd.put(f"{place.prefix}/subnets-mine", "x")
    assert place.listed() == []
    assert place.reported[0].where == f"{place.prefix}/subnets-mine"


@given(
    st.lists(
        st.tuples(
            st.binary(max_size=40) | st.sampled_from([b"/p/subnets/10.5.9.0-24", b"/p/subnets/\xff"]),
            st.binary(max_size=60),
        )
    )
)
def test_no_content_can_raise(entries: list[tuple[bytes, bytes]]) -> None:
    store = EtcdStore(Client((), Credentials()), "/p", report=lambda _: None)
    store._parsed([KeyValue(key, value, 1, 1, 1) for key, value in entries])


@given(
    st.from_regex(rb"[0-9]{1,3}(\.[0-9]{1,3}){3}-[0-9]{1,3}(&[a-f0-9:.]{1,20}-[0-9]{1,3})?", fullmatch=True),
    st.sampled_from([b"{}", THEIRS.encode()]),
)
def test_no_key_can_raise_and_what_is_read_is_written_the_same(name: bytes, value: bytes) -> None:
    store = EtcdStore(Client((), Credentials()), "/p", report=lambda _: None)
    for lease in store._parsed([KeyValue(b"/p/subnets/" + name, value, 1, 1, 1)]):
        assert lease.subnet.key.encode() == name


def test_a_watch_starts_over_when_its_revision_is_compacted(place: Place) -> None:
    cursor = place.run(lambda store: store.leases()).cursor
    place.created(A)
    revision = place.created(B, Attributes(OTHER)).version
    place.etcd.ctl("compact", str(revision))
    fresh, live = watched(place, lambda: None, lambda: place.etcd.ctl("del", place.key(B)) and None, cursor=cursor)
    assert isinstance(fresh, Snapshot)
    assert [lease.subnet for lease in fresh.leases] == [B, A]
    assert isinstance(live, Delta)
    assert live.gone == (B,)


def test_a_live_watch_survives_compaction_and_a_restart(alone: Place) -> None:
    def act() -> None:
        alone.etcd.put(alone.key(B), THEIRS)
        revision = alone.etcd.get("x", "-w=fields").split(b'"Revision" : ')[1].split()[0].decode()
        alone.etcd.ctl("compact", revision)
        alone.etcd.stop()
        alone.etcd.start()

    first, second = watched(alone, act, lambda: alone.etcd.ctl("del", alone.key(B)) and None)
    assert isinstance(first, Delta)
    assert [lease.subnet for lease in first.written] == [B]
    assert isinstance(second, Delta)
    assert second.gone == (B,)


def test_in_a_cluster_restored_from_a_backup_hosts_have_time_to_come_back(
    alone: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("overlay.stores.etcd.store.GRACE", 1.0)
    monkeypatch.setattr("overlay.stores.etcd.client.PROGRESS_INTERVAL", 0.2)
    alone.etcd.put(alone.key(B), THEIRS)
    alone.etcd.stop()
    alone.etcd.save()
    alone.etcd.start()

    def restore() -> None:
        alone.etcd.stop()
        alone.etcd.restore()
        alone.etcd.start()

    async def whole(store: EtcdStore) -> list[Update]:
        assert await store.create(A, MINE)
        return await updates(store, (await store.leases()).cursor, restore, lambda: None)

    at_once, later = alone.run(whole)
    assert isinstance(at_once, Delta)
    assert ([lease.subnet for lease in at_once.written], at_once.gone) == ([B], (A,)), "only our own lease is gone"
    assert isinstance(later, Snapshot)
    assert [lease.subnet for lease in later.leases] == [B]


def test_after_a_restore_a_lease_is_renewed_though_its_revision_never_was(alone: Place) -> None:
    alone.created(A)
    alone.etcd.stop()
    alone.etcd.save()
    alone.etcd.start()
    for _ in range(3):
        alone.etcd.put(alone.key(B), THEIRS)
    renewed = alone.run(lambda store: store.replace(Lease(A, MINE), MINE))
    assert renewed is not None
    alone.etcd.stop()
    alone.etcd.restore()
    alone.etcd.start()
    assert alone.run(lambda store: store.replace(renewed, MINE)) is not None


def test_a_member_that_hangs_costs_a_deadline_not_the_daemon(alone: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("overlay.stores.etcd.client.ANSWERING", 0.5)
    alone.etcd.freeze()
    with pytest.raises(StoreError, match="no answer in time"):
        alone.listed()


def test_an_etcd_that_is_away_says_so_and_comes_back(alone: Place) -> None:
    alone.etcd.stop()
    with pytest.raises(StoreError, match=f"{alone.etcd.url}: connection refused"):
        alone.listed()
    with pytest.raises(StoreError, match="the watch ended"):
        watched(alone, lambda: None, cursor=1)
    alone.etcd.start()
    assert alone.listed() == []


def test_the_permissions_that_the_docs_name_are_enough(alone: Place) -> None:
    folder = f"{alone.prefix}/subnet"
    for words in (
        "user add root:r00t",
        "user grant-role root root",
        "role add tulle",
        f"role grant-permission tulle read {alone.prefix}/config",
        f"role grant-permission tulle readwrite {folder}s {folder}t",
        "user add tulle:pst",
        "user grant-role tulle tulle",
        f"put {alone.prefix}/config {{}}",
        "auth enable",
    ):
        alone.etcd.ctl(*words.split())
    alone.etcd.user = ("--user=root:r00t",)
    alone.credentials = Credentials("tulle", "pst")
    assert alone.run(lambda store: store.read_config()) == "{}"
    lease = alone.created(A)
    assert alone.create(Subnet(IPv4Network("10.5.8.0/23"))) is None
    renewed = alone.run(lambda store: store.replace(lease, MINE))
    assert renewed is not None
    (update,) = watched(alone, lambda: alone.etcd.put(alone.key(B), THEIRS))
    assert isinstance(update, Delta)
    assert alone.run(lambda store: store.remove(renewed))


class Household:
    """Who acts on the lease, reduced to the list of what was published."""

    def __init__(self) -> None:
        self.published_leases: list[Lease] = []

    def published(self, lease: Lease) -> None:
        self.published_leases.append(lease)

    def withdrawn(self, lease: Lease, reason: str) -> None:
        raise AssertionError(reason)


def test_an_etcd_that_was_away_for_thirty_hours_gets_the_lease_back_that_ended_meanwhile(
    alone: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("overlay.subnet.manager.MAX_SLEEP", 0.01)
    config = network.parse('{"Network": "10.5.0.0/16", "Backend": {"Type": "vxlan"}}', "x")
    clock, home, out = [1000.0], Household(), io.StringIO()

    async def published(number: int) -> None:
        async with asyncio.timeout(20):
            while len(home.published_leases) < number:
                await asyncio.sleep(0.01)
                clock[0] += 1.0

    async def live(store: EtcdStore) -> None:
        state = LeaseState(LeasePolicy(config, ME, lambda _: MINE))
        chance = Clock(lambda: clock[0], lambda: 0.5)
        tenant = LeaseManager(store, state, home, chance, Log(out, clock=lambda: ""))
        task = asyncio.create_task(tenant.run())
        await published(1)
        alone.etcd.stop()
        clock[0] += 30 * 3600
        await asyncio.to_thread(waiting.until, lambda: tenant.problem, "the renewal has failed", within=20)
        await asyncio.to_thread(alone.etcd.start)
        await asyncio.to_thread(alone.etcd.ctl, "del", alone.key(home.published_leases[0].subnet))
        await published(2)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    alone.run(live)
    first, second = home.published_leases
    assert (second.subnet, second.attributes) == (first.subnet, first.attributes)
    assert out.getvalue().count("the lease is in doubt") == 1, "what is the same is said once"
    assert alone.ttl_of(alone.key(second.subnet)) > 86_000


def test_through_two_days_a_lease_is_renewed_an_hour_before_its_end_and_no_oftener(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("overlay.subnet.manager.MAX_SLEEP", 0.01)
    config = network.parse('{"Network": "10.5.0.0/16", "Backend": {"Type": "vxlan"}}', "x")
    clock, looked, home = [1000.0], asyncio.Event(), Household()
    log = Log(io.StringIO(), clock=lambda: "")

    def now() -> float:
        looked.set()
        return clock[0]

    async def pass_time(store: EtcdStore) -> list[int]:
        state = LeaseState(LeasePolicy(config, ME, lambda _: MINE))
        chance = Clock(now, lambda: 0.5)
        task = asyncio.create_task(LeaseManager(store, state, home, chance, log).run())
        counts = []
        for hours in (0, 22.9, 0.2, 22.7, 0.4):
            clock[0] += hours * 3600
            for _ in range(5):  # it looks at the clock again only when what the hours brought about is done
                looked.clear()
                await looked.wait()
            counts.append(len(home.published_leases))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return counts

    assert place.run(pass_time) == [1, 1, 2, 2, 3]
    assert len({lease.subnet for lease in home.published_leases}) == 1
    assert place.ttl_of(place.key(home.published_leases[0].subnet)) > 86_000
