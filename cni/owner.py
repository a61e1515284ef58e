"""Whose something in the kernel is: the attachment's name, and how links and rules carry it.

Every program that leaves links or rules on the host signs them so, and finds its own by it. Must not know who signs what.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha512

from cni import attachments

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.request import Request

COMMENT_BYTES = 128
"""What nftables keeps of a comment (NFTNL_UDATA_COMMENT_MAXLEN)."""


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose attachment it is; unique on a host."""

    network: str
    container_id: str
    ifname: str

    @classmethod
    def of(cls, request: Request) -> Owner:
        """Return the attachment that a request is about."""
        return cls(request.name, request.container_id, request.ifname)

    @classmethod
    def known_to(cls, request: Request) -> list[Owner] | None:
        """Return every attachment that GC is to keep; None when the runtime sent no list, so that nothing may be removed."""
        valid = attachments.valid(request.config)
        return None if valid is None else [cls(request.name, *attachment) for attachment in valid]

    @property
    def alias(self) -> str:
        """The link alias by which anything left behind can be attributed."""
        return f"{self.network}/{self.container_id}/{self.ifname}"

    @property
    def mark(self) -> str:
        """What the comments of every nftables rule of this attachment start with (contract 2.5)."""
        return f"{network_mark(self.network)}-{_digest(f'{self.ifname}:{self.container_id}')}"

    @property
    def comment(self) -> str:
        """The whole comment of an nftables rule: the mark for programs, the names for people, at most 128 bytes."""
        text = f"{self.mark}, net: {self.network}, if: {self.ifname}, id: {self.container_id}"
        return text.replace('"', "").encode()[:COMMENT_BYTES].decode(errors="ignore")


def network_mark(network: str) -> str:
    """Return what the comments of every nftables rule of `network` start with."""
    return _digest(network)


def _digest(text: str) -> str:
    return sha512(text.encode()).hexdigest()[:16]
