"""Claims about an etcd of three members:

- a killed member is left for the next one: calls and watch go on, and again when it is back
- while a new leader is chosen nothing is lost: the lease can be written, and the watch tells what was written meanwhile
- a member that the others cannot reach gives no old answers: it is left for one that has a leader, and alone it is no store
- without a quorum nothing is read and nothing written; the data path and the lease file of a daemon stay; once the quorum is back the
  daemon programs what changed
"""

import asyncio
import json
import signal
from collections.abc import Callable, Coroutine, Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network
from typing import Any, TypeVar
from uuid import uuid4

import pytest

from kernel import netns
from overlay.errors import StoreError
from overlay.stores import Delta
from overlay.stores.etcd import keys
from overlay.stores.etcd.client import Client, Credentials
from overlay.stores.etcd.store import EtcdStore
from overlay.subnet.allocation import Subnet
from overlay.subnet.attributes import Attributes
from overlay.subnet.lease import Lease
from tests.lab import waiting
from tests.lab.etcd import Etcd, cluster
from tests.lab.world import LabError
from tests.netns.overlay.conftest import Start
from tests.netns.overlay.daemons import pair
from tests.netns.spaces import Space

T = TypeVar("T")
MINE, THEIRS = Attributes(IPv4Address("192.0.2.3"), None, "host-gw"), '{"PublicIP":"192.0.2.4","PublicIPv6":null}'
A, B = Subnet(IPv4Network("10.5.9.0/24")), Subnet(IPv4Network("10.5.10.0/24"))
CONFIG = '{"Network":"10.42.0.0/16","Backend":{"Type":"vxlan"}}'
STRANGER = (
    '{"PublicIP":"192.0.2.%(n)d","PublicIPv6":null,"BackendType":"vxlan",'
    '"BackendData":{"VNI":1,"VtepMAC":"02:00:00:00:00:%(n)d"}}'
)


@pytest.fixture(scope="module")
def space() -> Iterator[Space]:
    made = Space("etcd")
    yield made
    made.close()


@pytest.fixture(scope="module")
def members(space: Space, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Etcd, ...]]:
    found = cluster(tmp_path_factory.mktemp("cluster"))
    with netns.inside(space.namespace):
        whole(found)
    yield found
    for member in found:
        member.stop()


@pytest.fixture
def inside(space: Space, members: tuple[Etcd, ...]) -> Iterator[tuple[Etcd, ...]]:
    """The members, from within their namespace; all of them are there again afterwards."""
    with netns.inside(space.namespace):
        yield members
        whole(members)


def whole(members: Sequence[Etcd]) -> None:
    """Start the members that do not run, and return when all follow one leader."""
    for member in members:
        member.launch()
    for member in members:
        member.served()
        persist(member, "get", "x")


@pytest.fixture
def prefix() -> str:
    return f"/test/{uuid4().hex}"


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second for every answer: many of them will not come."""
    monkeypatch.setattr("overlay.stores.etcd.client.ANSWERING", 1.0)


def work(members: Sequence[Etcd], prefix: str, act: Callable[[EtcdStore], Coroutine[Any, Any, T]]) -> T:
    """Do something with a store that knows these members."""

    async def session() -> T:
        client = Client(keys.endpoints(",".join(member.url for member in members)), Credentials())
        store = EtcdStore(client, prefix, report=lambda _: None)
        try:
            return await act(store)
        finally:
            store.close()

    return asyncio.run(session())


def told_after(members: Sequence[Etcd], prefix: str, act: Callable[[], object]) -> list[Subnet]:
    """Watch, do something, and give the subnets that the watch tells of next."""

    async def watching(store: EtcdStore) -> list[Subnet]:
        watch = store.watch((await store.leases()).cursor)
        told = asyncio.ensure_future(anext(watch))
        await asyncio.sleep(0)
        await store.leases()
        await asyncio.to_thread(act)
        async with asyncio.timeout(20):
            update = await told
            while isinstance(update, Delta) and not update.written:
                update = await anext(watch)
        assert isinstance(update, Delta)
        return [lease.subnet for lease in update.written]

    return work(members, prefix, watching)


def key(prefix: str, subnet: Subnet) -> str:
    return f"{prefix}/subnets/{subnet.key}"


def leader(members: Sequence[Etcd]) -> int:
    """Give the place of the leader."""
    states = [state(member) for member in members]
    return next(place for place, one in enumerate(states) if one["header"]["member_id"] == one["leader"])


def state(member: Etcd) -> Any:
    """Give what a member says of itself."""
    return json.loads(member.ctl("endpoint", "status", "-w=json"))[0]["Status"]


def test_a_killed_member_is_left_for_the_next_and_may_come_back(inside: tuple[Etcd, ...], prefix: str) -> None:
    first, second, third = inside

    def lose_first() -> None:
        first.stop(signal.SIGKILL)
        persist(second, "put", "--", key(prefix, B), THEIRS)

    def lose_second() -> None:
        whole((first, third))
        second.stop(signal.SIGKILL)
        persist(third, "put", "--", key(prefix, A), THEIRS)

    assert told_after(inside, prefix, lose_first) == [B]
    assert told_after((second, third, first), prefix, lose_second) == [A]


def persist(member: Etcd, *words: str) -> None:
    """Have etcdctl do something as soon as there is a leader."""

    def done() -> bool:
        try:
            member.ctl("--command-timeout=1s", *words)
        except LabError:
            return False
        return True

    waiting.until(done, f"etcdctl {words[0]}", within=20)


def test_a_new_leader_is_waited_for(inside: tuple[Etcd, ...], prefix: str) -> None:
    place = leader(inside)
    others = [member for member in inside if member is not inside[place]]

    async def writing(store: EtcdStore) -> Lease | None:
        await store.leases()
        inside[place].stop(signal.SIGKILL)
        for _ in range(20):
            try:
                return await store.create(A, MINE)
            except StoreError:
                await asyncio.sleep(0.2)
        return None

    lease = work((inside[place], *others), prefix, writing)
    assert lease is not None
    assert work(others, prefix, lambda store: store.leases()).leases == (lease,)


def test_a_member_the_others_cannot_reach_gives_no_old_answers(
    inside: tuple[Etcd, ...], space: Space, prefix: str, hasty: None
) -> None:
    lost, healthy = inside[0], inside[1]
    lost.put(key(prefix, A), THEIRS)

    def part() -> None:
        others = ", ".join(str(member.peer_port) for member in inside[1:])
        rule = "; add rule inet parted out "
        chain = "add table inet parted; add chain inet parted out { type filter hook output priority 0; }"
        to_others = f"meta skgid {lost.group} tcp dport {{ {others} }} drop"
        space.run("nft", f"{chain}{rule}tcp dport {lost.peer_port} drop{rule}{to_others}")
        waiting.until(lambda: not state(lost).get("leader"), "the lost member knows that it is lost", within=20)
        persist(healthy, "del", key(prefix, A))
        persist(healthy, "put", "--", key(prefix, B), THEIRS)

    try:
        assert told_after((lost, healthy), prefix, part) == [B]
        assert [one.subnet for one in work((lost, healthy), prefix, lambda store: store.leases()).leases] == [B]
        with pytest.raises(StoreError):
            work((lost,), prefix, lambda store: store.leases())
    finally:
        space.run("nft", "delete", "table", "inet", "parted")


def test_without_a_quorum_nothing_is_read_or_written(inside: tuple[Etcd, ...], prefix: str, hasty: None) -> None:
    lease = work(inside, prefix, lambda store: store.create(A, MINE))
    assert lease is not None
    for member in inside[1:]:
        member.stop(signal.SIGKILL)
    for act in (lambda store: store.leases(), lambda store: store.replace(lease, MINE), one_update):
        with pytest.raises(StoreError):
            work(inside, prefix, act)
    whole(inside)
    assert work(inside, prefix, lambda store: store.replace(lease, MINE))


async def one_update(store: EtcdStore) -> object:
    return await anext(store.watch(1_000_000))


def test_a_daemon_without_a_quorum_keeps_all_and_then_programs_what_changed(
    inside: tuple[Etcd, ...], space: Space, make_space: Callable[[str], Space], start: Start, prefix: str
) -> None:
    pair(space, make_space("other"))
    inside[0].put(f"{prefix}/config", CONFIG)
    endpoints = ",".join(member.url for member in inside)
    daemon = start(space, "--store", "etcd", "--etcd-endpoints", endpoints, "--etcd-prefix", prefix, "--iface", "eth0")
    inside[0].put(f"{prefix}/subnets/10.42.253.0-24", STRANGER % {"n": 98})
    daemon.ready()
    waiting.until(lambda: "10.42.253.0" in space.run("ip", "route"), "peer programmed", namespace=space.namespace)
    before = space.run("ip", "route"), daemon.lease_file.read_text()
    for member in inside[1:]:
        member.stop(signal.SIGKILL)
    waiting.until(lambda: "the store does not answer" in daemon.log.read_text(), "no store", within=30)
    assert (space.run("ip", "route"), daemon.lease_file.read_text()) == before
    assert daemon.process.poll() is None
    whole(inside)
    inside[0].put(f"{prefix}/subnets/10.42.254.0-24", STRANGER % {"n": 99})
    waiting.until(lambda: "10.42.254.0" in space.run("ip", "route"), "what changed", within=15)
    assert daemon.lease_file.read_text() == before[1]
