"""Claims about kernel.firewall.nft_monitor against the real kernel: what nft and iptables change is heard by table, what they list is not,
nor what happens in another namespace; a loss is a table that goes or a rule at an entrance, and nothing that is added or goes elsewhere.
"""

from kernel.firewall.nft_monitor import NftEvents, NftLosses
from tests.netns.spaces import Space


def test_a_change_is_heard_by_its_table(host: Space) -> None:
    with NftEvents(host.namespace) as events:
        host.run("nft", "add table ip mine; add set ip mine s { type ipv4_addr; }")
        assert events.read() == {"mine"}
        host.run("nft", "add element ip mine s { 192.0.2.1 }")
        assert events.read() == {"mine"}
        host.run("nft", "flush", "ruleset")
        assert events.read() == {"mine"}


def test_iptables_is_heard_too_unless_it_is_the_legacy_one(host: Space) -> None:
    with NftEvents(host.namespace) as events:
        host.run("iptables-nft", "-t", "nat", "-A", "POSTROUTING", "-j", "RETURN")
        assert "nat" in events.read()


def test_listing_and_other_namespaces_are_not_heard(host: Space, container: Space) -> None:
    with NftEvents(host.namespace) as events:
        host.run("nft", "list", "ruleset")
        container.run("nft", "add", "table", "ip", "theirs")
        assert events.read() == frozenset()


def test_a_loss_is_what_a_flush_takes_and_not_what_a_container_takes_along(host: Space) -> None:
    with NftLosses(host.namespace) as losses:
        host.run("iptables-nft", "-t", "nat", "-N", "CNI-1")
        for chain, target in (("PREROUTING", "CNI-1"), ("POSTROUTING", "CNI-1"), ("CNI-1", "RETURN")):
            host.run("iptables-nft", "-t", "nat", "-A", chain, "-j", target)
        host.run("iptables-nft", "-t", "nat", "-D", "CNI-1", "1")
        host.run("iptables-nft", "-t", "nat", "-D", "POSTROUTING", "1")
        host.run("nft", "add table bridge nat; add chain bridge nat PREROUTING; add rule bridge nat PREROUTING accept")
        host.run("nft", "flush chain bridge nat PREROUTING")
        assert losses.read() == frozenset()
        host.run("iptables-nft", "-t", "nat", "-F", "PREROUTING")
        assert losses.read() == {"nat"}
        host.run("nft", "flush", "ruleset")
        assert losses.read() == {"nat"}
