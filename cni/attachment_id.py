"""The identity of an attachment, and how links and rules in the kernel carry it.

Every program that leaves links or rules on the host marks them with it, and finds its own by it. A name that is too
long for a place is shortened here and nowhere else, so that writer and reader shorten it in the same way.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import sha512

from cni import valid_attachments

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cni.request import Request

COMMENT_BYTES = 128
"""What nftables keeps of a comment (NFTNL_UDATA_COMMENT_MAXLEN)."""
ALIAS_BYTES = 255
"""What the kernel keeps of a link's alias (IFALIASZ - 1); as much as iptables keeps of a comment (XT_MAX_COMMENT_LEN - 1)."""
IFNAME_BYTES = 15
NETWORK_BYTES, ID_BYTES = 40, 128
"""What is kept of a network's name and a container's id where both together are too long; runtimes send ids of 64, by hand 128."""


def shortened(text: str, limit: int) -> str:
    """Return `text`, or, where it has more than `limit` bytes, as much of its beginning as fits before a digest of the whole."""
    if len(text.encode()) <= limit:
        return text
    digest = _digest(text)
    return f"{text.encode()[: limit - len(digest) - 1].decode(errors='ignore')}.{digest}"


def written(network: str, container_id: str, form: Callable[[str, str], str], limit: int = ALIAS_BYTES) -> str:
    """Return what `form` makes of both names, of shortened ones where that would have more than `limit` bytes."""
    whole = form(network, container_id)
    if len(whole.encode()) <= limit:
        return whole
    return form(shortened(network, NETWORK_BYTES), shortened(container_id, ID_BYTES))


def spellings(network: str) -> tuple[str, ...]:
    """Return how `written` may have put the network's name, the whole one first."""
    return tuple(dict.fromkeys((network, shortened(network, NETWORK_BYTES))))


@dataclass(frozen=True, slots=True)
class AttachmentID:
    """Whose attachment it is; unique on a host."""

    network: str
    """The name of the network."""
    container_id: str
    """The id of the container."""
    ifname: str
    """The name of the interface in the container."""

    @classmethod
    def of(cls, request: Request) -> AttachmentID:
        """Return the attachment that a request is about."""
        return cls(request.name, request.container_id, request.ifname)

    @classmethod
    def known_to(cls, request: Request) -> list[AttachmentID] | None:
        """Return every attachment that GC is to keep; None when the runtime sent no list, so that nothing may be removed."""
        valid = valid_attachments.valid(request.config)
        return None if valid is None else [cls(request.name, *attachment) for attachment in valid]

    @property
    def alias(self) -> str:
        """The link alias by which anything left behind can be attributed, at most 255 bytes."""
        room = ALIAS_BYTES - IFNAME_BYTES  # whatever the interface is called, so that a container's aliases begin alike
        return (
            written(self.network, self.container_id, lambda network, container: f"{network}/{container}/", room)
            + self.ifname
        )

    @classmethod
    def signed(cls, alias: str) -> AttachmentID | None:
        """Return the attachment a link's alias names, its names perhaps shortened; None when it names none. No name holds a slash."""
        words = alias.split("/")
        return cls(*words) if len(words) == 3 and all(words) else None

    def among(self, networks: Iterable[str]) -> AttachmentID:
        """Return this attachment under the whole name of its network, where that is one of `networks`."""
        return replace(self, network=next((each for each in networks if self.network in spellings(each)), self.network))

    @property
    def mark(self) -> str:
        """What the comments of every nftables rule of this attachment start with (docs/reference/cni.md 2.5)."""
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
