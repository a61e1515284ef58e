"""Decides what lets an attachment through the host's firewall; ADD builds it, CHECK compares the kernel with it.

Pure: knows settings and the result so far; must not see a namespace, a socket or a file.
"""

from __future__ import annotations

from dataclasses import dataclass

from cni.errors import CniError, Code

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.attachment_id import AttachmentID
    from cni.types import IPAddress, Result
    from meta.firewall.config import Settings

FAMILIES = (4, 6)


@dataclass(frozen=True, slots=True)
class Passage:
    """Everything one ADD asks of the host: who may pass, and what its bridge is kept apart from.

    `bridge` is empty for the policy open.
    """

    owner: AttachmentID
    addresses: tuple[IPAddress, ...]
    admin_chain: str
    policy: str = "open"
    bridge: str = ""

    @property
    def families(self) -> tuple[int, ...]:
        """The IP versions that rules are needed for."""
        present = {address.version for address in self.addresses}
        return tuple(family for family in FAMILIES if family in present)

    def of_family(self, family: int) -> tuple[IPAddress, ...]:
        """Return the addresses of IP version `family`."""
        return tuple(address for address in self.addresses if address.version == family)


def passage(settings: Settings, owner: AttachmentID, earlier: Result) -> Passage:
    """Return what `settings` ask for the attachment whose result so far is `earlier`.

    Raises CniError 7 when a policy needs the bridge and `earlier` names none.
    """
    bridge = "" if settings.policy == "open" else _bridge(settings.policy, earlier)
    return Passage(owner, addresses(earlier), settings.admin_chain, settings.policy, bridge)


def addresses(earlier: Result) -> tuple[IPAddress, ...]:
    """Return the container's addresses, each once (docs/reference/cni.md 4.2: all of prevResult's)."""
    return tuple(dict.fromkeys(entry.address.ip for entry in earlier.ips))


def _bridge(policy: str, earlier: Result) -> str:
    """Return the bridge, the first interface of a result of `bridge` (docs/reference/cni.md 4.2, ingress policies)."""
    first = earlier.interfaces[0] if earlier.interfaces else None
    if first is None or not first.name or first.sandbox:
        raise CniError(
            Code.INVALID_CONFIG,
            f"ingressPolicy {policy} needs a bridge, and prevResult does not begin with one",
            "list firewall behind bridge, or remove ingressPolicy",
        )
    return first.name
