"""Turns addresses in the kernel's answers into entries with pyroute2's message class; what comes often kernel.links and rows read.

It takes one whole message and returns its entry, or None for another family. Importing this loads pyroute2's message classes. Must not know sockets or who asked.
"""

from ipaddress import ip_interface
from socket import AF_INET, AF_INET6
from typing import Any

from kernel.entries import LinkAddress
from kernel.messages import ifaddrmsg

FAMILIES = (AF_INET, AF_INET6)


class Attributes:
    """The attributes of one message or nest by name; each is decoded when it is asked for."""

    __slots__ = ("_slots",)

    def __init__(self, nest: Any) -> None:
        self._slots = {slot.name: slot for slot in nest["attrs"]}

    def get(self, name: str, default: Any = None) -> Any:
        """Return the decoded value, or `default` when the attribute is absent."""
        slot = self._slots.get(name)
        return default if slot is None else slot.value


def _open(layout: Any, data: bytes) -> tuple[Any, Attributes]:
    message = layout(data)
    message.decode()
    return message, Attributes(message)


def address(data: bytes) -> LinkAddress | None:
    """Decode RTM_NEWADDR; of a point-to-point address the near end counts (IFA_LOCAL)."""
    message, attributes = _open(ifaddrmsg, data)
    if message["family"] not in FAMILIES:
        return None
    near = attributes.get("IFA_LOCAL") or attributes.get("IFA_ADDRESS")
    return LinkAddress(
        link=message["index"],
        address=ip_interface(f"{near}/{message['prefixlen']}"),
        scope=message["scope"],
        flags=attributes.get("IFA_FLAGS", message["flags"]),
    )
