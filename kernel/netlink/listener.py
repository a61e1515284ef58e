"""A netlink socket that receives the kernel's notifications, so that nothing has to poll or sleep.

Each subclass says which multicast groups it listens to and what a message means. The kernel drops events when too many
come at once; then everything counts as changed.
"""

import errno
import socket
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import ClassVar, Generic, Self, TypeVar

from kernel.errors import KernelError
from kernel.netlink.transport import READ_BYTES, Message, open_socket, split
from kernel.netns import Namespace

Seen = TypeVar("Seen")


class Listener(ABC, Generic[Seen]):
    """Made for loop.add_reader, read when it is readable. Raises KernelError when it cannot be opened."""

    __slots__ = ("_everything", "_socket")

    protocol: ClassVar[int] = socket.NETLINK_ROUTE
    subject: ClassVar[str]

    def __init__(self, namespace: Namespace | None, groups: int, everything: Iterable[Seen]) -> None:
        self._everything = frozenset(everything)
        self._socket = open_socket(namespace, groups, self.protocol)
        self._socket.setblocking(False)

    @abstractmethod
    def meaning(self, event: Message) -> Seen | None:
        """Return what a message says has changed; None for nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket; twice is fine."""
        self._socket.close()

    def fileno(self) -> int:
        """Return the descriptor to wait on."""
        return self._socket.fileno()

    def read(self) -> frozenset[Seen]:
        """Return what changed since the last read, at once; everything, when the kernel had to drop events."""
        seen: set[Seen] = set()
        while True:
            try:
                data, (port, _) = self._socket.recvfrom(READ_BYTES)
                if port == 0:
                    seen |= {change for event in split(data) if (change := self.meaning(event)) is not None}
            except BlockingIOError:
                return frozenset(seen)
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise KernelError(error.errno or errno.EIO, f"reading {self.subject} events") from error
                seen |= self._everything
