"""Decides which traffic of an attachment the host lets through.

ADD builds this plan, CHECK compares the kernel with it.
"""

from __future__ import annotations

from dataclasses import dataclass

from cni.errors import CniError, Code

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.attachment_id import AttachmentID
    from cni.types import Result
    from meta.firewall.config import Settings
    from system.ip import IPAddress

FAMILIES = (4, 6)


@dataclass(frozen=True, slots=True)
class Passage:
    """Everything that one ADD asks of the host."""

    owner: AttachmentID
    addresses: tuple[IPAddress, ...]  # packets from and to these are let through
    admin_chain: str  # chain of the administrator's own rules
    policy: str = "open"  # "open", or which traffic between bridges is dropped
    bridge: str = ""  # that the policy separates; empty for the policy "open"

    @property
    def families(self) -> tuple[int, ...]:
        """The IP versions for which rules are needed."""
        present = {address.version for address in self.addresses}
        return tuple(family for family in FAMILIES if family in present)

    def of_family(self, family: int) -> tuple[IPAddress, ...]:
        """Return the addresses of IP version `family`."""
        return tuple(address for address in self.addresses if address.version == family)


def passage(settings: Settings, owner: AttachmentID, earlier: Result) -> Passage:
    """Return the plan for the attachment whose prevResult is `earlier`.

    Raises CniError 7 when the policy needs a bridge and `earlier` names none.
    """
    bridge = "" if settings.policy == "open" else _bridge(settings.policy, earlier)
    return Passage(owner, addresses(earlier), settings.admin_chain, settings.policy, bridge)


def addresses(earlier: Result) -> tuple[IPAddress, ...]:
    """Return the container's addresses, each once: all in prevResult (docs/reference/cni.md 4.2)."""
    return tuple(dict.fromkeys(entry.address.ip for entry in earlier.ips))


def _bridge(policy: str, earlier: Result) -> str:
    """Return the bridge: the first interface in the result of `bridge`.

    See docs/reference/cni.md 4.2, ingress policies.
    """
    first = earlier.interfaces[0] if earlier.interfaces else None
    if first is None or not first.name or first.sandbox:
        raise CniError(
            Code.INVALID_CONFIG,
            f"ingressPolicy {policy} needs a bridge, and prevResult does not begin with one",
            "list firewall behind bridge, or remove ingressPolicy",
        )
    return first.name
