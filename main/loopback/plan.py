"""Decides how a container's loopback device must be, and what ADD answers about it (docs/reference/cni.md 4.5)."""

from __future__ import annotations

from cni.errors import CniError, Code, quoted
from cni.types import Address, Interface, Result

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from system.ip import IPInterface

DEVICE = "lo"
"""The only name that the kernel gives it. As with the reference, CNI_IFNAME is ignored."""
MAC = "00:00:00:00:00:00"


def refuse_strangers(present: Sequence[IPInterface]) -> None:
    """Raise CniError 103 if the device has an address that is no loopback one: something else uses it."""
    for address in present:
        if not address.ip.is_loopback:
            raise CniError(
                Code.CONFLICT,
                f"loopback interface found with non-loopback address {quoted(str(address))}",
                f"somebody put it there before the container started: ip address del {address} dev {DEVICE}",
            )


def result(present: Sequence[IPInterface], sandbox: str) -> Result:
    """Return a result with the device and the first address of each family, IPv4 first."""
    firsts = (next((each for each in present if each.version == version), None) for version in (4, 6))
    return Result(
        interfaces=(Interface(DEVICE, mac=MAC, sandbox=sandbox),),
        ips=tuple(Address(each, interface=0) for each in firsts if each is not None),
    )
