"""Claims about kernel.firewall.nft_owner against the real kernel: a table that is held is neither flushed nor changed by others, who can still list it;
it stays when the hold ends, and is then another's to hold and everybody's to change; a table of another kind is not held.
"""

from collections.abc import Iterator

import pytest

from kernel.errors import KernelError
from kernel.firewall import nft, nft_owner
from kernel.firewall.nft_owner import TableOwner
from tests.netns.spaces import Space

CHAIN = {"add": {"chain": {"family": "inet", "table": "mine", "name": "c"}}}


@pytest.fixture
def made(host: Space) -> Space:
    if not nft_owner.make("inet", "mine", host.namespace):
        pytest.skip("this kernel holds no tables that stay: Linux 6.9 does")
    return host


@pytest.fixture
def owner(made: Space) -> Iterator[TableOwner]:
    one = TableOwner("inet", "mine", made.namespace)
    yield one
    one.release()


def test_a_table_that_is_held_is_nobody_elses_to_change(made: Space, owner: TableOwner) -> None:
    nft.run([CHAIN], made.namespace)
    assert (owner.hold(), owner.hold()) == (True, True)
    made.run("nft", "flush", "ruleset")
    assert [each["chain"]["name"] for each in nft.listing("inet", "mine", made.namespace) if "chain" in each] == ["c"]
    with pytest.raises(KernelError, match="not permitted"):
        nft.run([{"delete": CHAIN["add"]}], made.namespace)


def test_it_stays_when_the_hold_ends_and_is_anothers_to_hold(made: Space, owner: TableOwner) -> None:
    other = TableOwner("inet", "mine", made.namespace)
    assert (owner.hold(), other.hold()) == (True, False)
    owner.release()
    owner.release()
    assert other.hold()
    other.release()
    nft.run([CHAIN], made.namespace)
    made.run("nft", "flush", "ruleset")
    assert nft.listing("inet", "mine", made.namespace) == []


def test_a_table_of_another_kind_is_not_held(host: Space) -> None:
    host.run("nft", "add", "table", "inet", "plain")
    assert not TableOwner("inet", "plain", host.namespace).hold()
    host.run("nft", "flush", "ruleset")
    assert host.run("nft", "list", "tables") == ""
