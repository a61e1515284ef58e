"""Chooses which of the kernel's two rule languages a program writes: iptables or nftables."""

from collections.abc import Collection

from kernel import spawn
from kernel.firewall import iptables, nft


def choose(configured: str, families: Collection[int], answered: Collection[int] = ()) -> str:
    """Return the backend: the configured one, else iptables unless only nftables works (docs/reference/cni.md 2.5).

    `answered` are the IP versions of which iptables has just listed rules: there it works, and is not asked again.
    Where iptables is not even installed nftables is taken untried: a probe may fail for want of a capability that the
    namespace it is run in does have for the rules themselves (docs/reference/cni.md 6, row 7).
    """
    if configured:
        return configured
    if all(family in answered or iptables.usable(family) for family in families):
        return "iptables"
    absent = not any(iptables.installed(family) for family in families)
    return "nftables" if (absent and spawn.find("nft")) or nft.usable() else "iptables"
