"""Claims about kernel.firewall.choose.

* What is configured is taken untried; without a choice iptables is taken; nftables when only that works (docs/reference/cni.md 6, row 7).
"""

import pytest

from kernel.firewall import choose, iptables, nft


def test_what_is_configured_is_taken() -> None:
    assert [choose.choose(name, (4, 6)) for name in ("nftables", "iptables")] == ["nftables", "iptables"]


def test_without_a_choice_iptables_is_taken() -> None:
    assert choose.choose("", (4, 6)) == "iptables"


def test_row_7_nftables_is_taken_untried_where_iptables_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(iptables, "PROGRAMS", {4: "no-such-iptables", 6: "no-such-ip6tables"})
    monkeypatch.setattr(nft, "TRIAL", {"add": {"nonsense": {}}})
    assert not nft.usable()
    assert choose.choose("", (4, 6)) == "nftables"
