"""Claims about kernel.netlink.nf_tables, in the real kernel.

* A transaction is carried out wholly or not at all, and what was refused is told by its place; a frame nobody takes too.
* Elements are found, listed with their comments, also with one of 250 bytes, and gone when removed; without a table there is nothing.
* A kept socket serves only the namespace it was opened in, and is not closed.
"""

import errno
from collections.abc import Callable, Iterator

import pytest

from kernel import deferred, netns
from kernel.errors import KernelError
from kernel.netlink import nf_tables
from kernel.netlink.nf_tables import Message, Table, Tables, elements
from tests.netns.spaces import Space

TABLE = Table("trial")
IFNAME = 41


def key(name: str) -> bytes:
    return name.encode().ljust(16, b"\0")


@pytest.fixture
def tables(host: Space) -> Iterator[Tables]:
    with Tables(host.namespace) as opened:
        opened.commit("making it", TABLE.create(), TABLE.set("ports", 1, [IFNAME], 16))
        yield opened
    deferred.drain()


def comments(tables: Tables) -> list[str]:
    return sorted(each.comment for data in tables.all("listing", TABLE.get_all("ports")) for each in elements(data))


def test_a_transaction_is_carried_out_wholly_or_not_at_all(tables: Tables) -> None:
    wanted: list[Message] = [
        TABLE.add("ports", key("a"), "first"),
        TABLE.remove("ports", key("none")),
        TABLE.add("ports", key("b")),
    ]
    assert {place: each.number for place, each in tables.refusals("changing", wanted).items()} == {1: errno.ENOENT}
    assert comments(tables) == []
    with pytest.raises(KernelError, match="changing it all: No such file") as refused:
        tables.commit("changing it all", *wanted)
    assert refused.value.gone


def test_elements_are_found_listed_and_removed(tables: Tables) -> None:
    long = "x" * nf_tables.COMMENT_BYTES
    tables.commit("adding", TABLE.add("ports", key("a"), "first"), TABLE.add("ports", key("b"), long))
    assert [tables.holds("asking", TABLE.get("ports", key(name))) for name in "abc"] == [True, True, False]
    assert comments(tables) == ["first", long]
    tables.commit("adding again", TABLE.add("ports", key("a"), "first"))
    tables.commit("removing", TABLE.remove("ports", key("b")))
    assert comments(tables) == ["first"]


def test_many_elements_are_all_listed(tables: Tables) -> None:
    for start in range(0, 1000, 100):
        tables.commit(
            "adding", *(TABLE.add("ports", key(f"veth{number}"), str(number)) for number in range(start, start + 100))
        )
    assert len(comments(tables)) == 1000


def test_where_there_is_no_table_there_is_nothing(host: Space) -> None:
    with Tables(host.namespace) as opened:
        assert opened.all("listing", TABLE.get_all("ports")) == ()
        assert opened.all("listing", TABLE.get_rules()) == ()
        assert not opened.holds("asking", TABLE.get("ports", key("a")))
    deferred.drain()


def test_a_kept_socket_serves_its_namespace_alone(
    host: Space, make_space: Callable[[str], Space], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nf_tables, "_kept", {})
    with netns.inside(host.namespace):
        nf_tables.keep()
        with Tables() as opened:
            opened.commit("making it", TABLE.create())
        with Tables() as again:
            assert again.refusals("making it", [TABLE.create()])[0].number == errno.EEXIST
    with Tables(make_space("other").namespace) as elsewhere:
        assert elsewhere.refusals("making it", [TABLE.create()]) == {}
    deferred.drain()
    for transport in nf_tables._kept.values():
        transport.close()
