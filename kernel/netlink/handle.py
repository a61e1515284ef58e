"""One network namespace: changes it, and reads what is there.

A program has two of these, `host` and `container`, and stays in its own namespace. Everything the kernel refuses is
raised as KernelError with the request in words. Two threads must not use the same handle at once.
"""

import errno
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import chain
from socket import AF_INET, AF_INET6
from typing import Self, TypeVar

from kernel.errors import KernelError
from kernel.netlink import address as addresses
from kernel.netlink import link_read as links
from kernel.netlink import route
from kernel.netlink import tc as qdiscs
from kernel.netlink.codec import encode
from kernel.netlink.objects import Address, BridgeInfo, FdbEntry, Link, Neighbour, Qdisc, Route, VxlanInfo
from kernel.netlink.requests import MAIN_TABLE, Request, Vlan
from kernel.netlink.transport import Dump, Message, NetlinkError, Transport
from kernel.netns import Namespace, inside
from kernel.sysctl import Parameter, write_all
from system.ip import IPAddress

__all__ = ["Address", "BridgeInfo", "FdbEntry", "Handle", "Link", "Neighbour", "Route", "VxlanInfo"]

DUMP_ATTEMPTS = 5
"""How often an interrupted dump is repeated before its data is used as it is (docs/reference/cni.md 8.9)."""

BROKEN_ATTEMPTS = 256
"""How often a question is put that the kernel was out of memory for; each takes up to 32 KiB of a broken-off dump."""

NO_LINK = frozenset({errno.ENODEV, errno.EINVAL})
"""Answers to a question for a link that mean there is none."""

NO_WAY = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EACCES, errno.EINVAL})
"""Answers to a route lookup that mean no: none, unreachable, prohibited, blackholed."""

Entry = TypeVar("Entry")
Reply = TypeVar("Reply")


class Handle:
    """A network namespace through one netlink socket opened in it; None is the one we are in.

    Raises KernelError when the socket cannot be opened; with `lazy` that is the first use's matter. The namespace stays
    the caller's to close; once the socket is open only kernel.netlink.monitor' waiting needs it open.
    """

    __slots__ = ("_opened", "namespace")

    def __init__(self, namespace: Namespace | None = None, *, lazy: bool = False) -> None:
        self.namespace = namespace
        self._opened = None if lazy else Transport(namespace)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket; twice is fine."""
        if self._opened is not None:
            self._opened.close()

    @property
    def _transport(self) -> Transport:
        if self._opened is None:
            self._opened = Transport(self.namespace)
        return self._opened

    def fileno(self) -> int:
        """Return the descriptor of its socket."""
        return self._transport.fileno()

    @property
    def sent(self) -> int:
        """How many messages went to the kernel since this was opened."""
        return 0 if self._opened is None else self._opened.sent

    def set_parameters(self, parameters: Iterable[Parameter]) -> None:
        """Set kernel parameters here, as sysctl.write_all does; a socket still to be opened is opened in the same visit."""
        with inside(self.namespace):
            self._opened = self._opened or Transport(None)
            write_all(parameters)

    def apply(self, *requests: Request) -> None:
        """Have the requests carried out in order, in one send; raise KernelError for the first refused one.

        A malformed request is refused before anything is sent. The kernel does not stop at a refusal: requests after
        it were tried too, so what follows must not do harm when what it follows was refused.
        """
        self.look(after=requests)

    def look(self, *names: str | int, after: Sequence[Request] = ()) -> tuple[Link | None, ...]:
        """Have the requests of `after` carried out as `apply` does, then return these links, all in one send.

        A link is named or numbered; None is one that is not there. Raises what `apply` raises, and KernelError EINVAL
        for what cannot be a name or number, before anything is sent.
        """
        messages = [encode(request) for request in after]
        errors, answers = self._carry_out(after, messages, [self._question(name) for name in names])
        for error in errors:
            if error is not None:
                raise error
        return tuple(self._seen(name, answer) for name, answer in zip(names, answers, strict=True))

    def attempt(self, requests: Iterable[Request]) -> list[KernelError | None]:
        """Have every request carried out that can be; return one slot a request: its refusal or None."""
        wanted = list(requests)
        messages: list[list[bytearray]] = []
        malformed: dict[int, KernelError] = {}
        for position, request in enumerate(wanted):
            try:
                messages.append(encode(request))
            except KernelError as error:
                messages.append([])
                malformed[position] = error
        errors, _ = self._carry_out(wanted, messages)
        return [malformed.get(position, error) for position, error in enumerate(errors)]

    def _carry_out(
        self, requests: Sequence[Request], messages: Sequence[list[bytearray]], questions: Sequence[bytearray] = ()
    ) -> tuple[list[KernelError | None], list[Message | NetlinkError]]:
        """Send all messages and give each request the first refusal among its own; the answers to `questions` come last."""
        owners = [position for position, parts in enumerate(messages) for _ in parts]
        errors: list[KernelError | None] = [None] * len(requests)
        try:
            said = self._transport.exchange([*chain.from_iterable(messages), *questions], len(questions))
        except OSError as error:
            what = requests[0].what() if len(requests) == 1 else f"sending {len(requests)} requests"
            raise KernelError(error.errno or errno.EIO, self._where(what)) from error
        for place, word in sorted(said.items()):
            if place < len(owners) and isinstance(word, NetlinkError):
                owner = owners[place]
                errors[owner] = errors[owner] or self._error(word, requests[owner].what())
        return errors, [said[len(owners) + place] for place in range(len(questions))]

    def link(self, name: str | int) -> Link | None:
        """Return one link by name or index; None when there is none (also for what cannot be a name)."""
        return self._ask(f"reading link {name}", lambda: links.get(name), links.read, nothing=NO_LINK)

    def number_of(self, namespace: Namespace) -> int | None:
        """Return the number by which links here tell that their other end is in `namespace`; None when none is."""
        question = f'asking for the number of network namespace "{namespace.path}"'
        return self._ask(question, lambda: links.get_space(namespace.fd), links.read_space, nothing={errno.EINVAL})

    def _question(self, name: str | int) -> bytearray:
        try:
            return links.get(name)
        except ValueError as error:
            raise KernelError(errno.EINVAL, self._where(f"reading link {name}"), str(error)) from error

    def _seen(self, name: str | int, answer: Message | NetlinkError) -> Link | None:
        what = f"reading link {name}"
        if isinstance(answer, NetlinkError):
            self._unless(NO_LINK, answer, what)
            return None
        return self._decode(links.read, answer, what)

    def links(self) -> tuple[Link, ...]:
        """Return all links."""
        return self._dump("reading links", links.dump, links.read)

    def port_vlans(self, port: int) -> tuple[Vlan, ...]:
        """Return the VLANs a bridge port is in; none where the bridge, or the kernel, filters none."""
        found = self._dump("reading the VLANs of bridge ports", links.dump_vlans, links.read_vlans)
        return tuple(vlan for index, vlans in found for vlan in vlans if index == port)

    def addresses(self, link: int | None = None, version: int = 0) -> tuple[Address, ...]:
        """Return the addresses on all links, or on the one with this index (none if it is gone), of IP `version` 4, 6 or both."""
        found: tuple[Address, ...] = self._dump(
            f"reading addresses of link {link}" if link else "reading addresses",
            lambda: addresses.dump(link or 0, version),
            addresses.read,
            nothing={errno.ENODEV},
        )
        return tuple(entry for entry in found if link is None or entry.link == link)

    def routes(self, table: int = MAIN_TABLE, family: int | None = None, link: int | None = None) -> tuple[Route, ...]:
        """Return the configured routes of a table, of one `family` (AF_INET, AF_INET6) or both, leaving by `link`.

        A table nobody has used is empty.
        """
        families = (AF_INET, AF_INET6) if family is None else (family,)
        return tuple(entry for each in families for entry in self._family_routes(each, table, link))

    def _family_routes(self, family: int, table: int, link: int | None) -> Iterator[Route]:
        version = 4 if family == AF_INET else 6
        found: tuple[Route, ...] = self._dump(
            f"reading IPv{version} routes of table {table}",
            lambda: route.dump_routes(family, table, link or 0),
            route.configured_route,
            nothing={errno.ENOENT, errno.ENODEV},
        )
        for entry in found:
            if entry.dst.version == version and entry.table == table and (link is None or _leaves_by(entry, link)):
                yield entry

    def route_to(self, address: IPAddress) -> Route | None:
        """Return the way a packet from here to `address` would go: link, gateway, preferred source; None for no way."""
        return self._ask(
            f"looking up the route to {address}",
            lambda: route.get_route(address),
            route.route,
            nothing=NO_WAY,
        )

    def neighbours(self, link: int) -> tuple[Neighbour, ...]:
        """Return the neighbour entries of both families on one link."""
        found: tuple[Neighbour, ...] = self._dump(
            f"reading neighbours of link {link}",
            lambda: route.dump_neighbours(link),
            route.neighbour,
            nothing={errno.ENODEV},
        )
        return tuple(entry for entry in found if entry.link == link)

    def fdb(self, link: int) -> tuple[FdbEntry, ...]:
        """Return the forwarding entries of one vxlan device or bridge port."""
        found: tuple[FdbEntry, ...] = self._dump(
            f"reading forwarding entries of link {link}",
            lambda: route.dump_fdb(link),
            route.fdb,
            nothing={errno.ENODEV},
        )
        return tuple(entry for entry in found if entry.link == link)

    def qdiscs(self, link: int) -> tuple[Qdisc, ...]:
        """Return the queueing disciplines of one link."""
        found: tuple[Qdisc, ...] = self._dump(
            f"reading qdiscs of link {link}", lambda: qdiscs.dump(link), qdiscs.read, nothing={errno.ENODEV}
        )
        return tuple(entry for entry in found if entry.link == link)

    def redirects(self, link: int) -> tuple[int, ...]:
        """Return the indexes of the links that what arrives on one link is redirected to, filter by filter."""
        return self._dump(
            f"reading filters of link {link}",
            lambda: qdiscs.dump_redirects(link),
            qdiscs.read_redirect,
            nothing={errno.ENODEV, errno.EINVAL},
        )

    def _ask(
        self,
        what: str,
        question: Callable[[], bytearray],
        decode: Callable[[bytes], Entry | None],
        nothing: Collection[int],
    ) -> Entry | None:
        """Ask for one object; refusals in `nothing` only say that there is none."""
        answer = self._exchange(what, question, self._transport.ask)
        if isinstance(answer, NetlinkError):
            self._unless(nothing, answer, what)
            return None
        return self._decode(decode, answer, what)

    def _dump(
        self,
        what: str,
        question: Callable[[], bytearray],
        decode: Callable[[bytes], Entry | None],
        nothing: Collection[int] = (),
    ) -> tuple[Entry, ...]:
        """Ask for all objects; refusals in `nothing` only say that there are none."""
        dump = self._consistent(what, question)
        if dump.refusal is not None:
            self._unless(nothing, dump.refusal, what)
        entries = (self._decode(decode, answer, what) for answer in dump.answers)
        return tuple(entry for entry in entries if entry is not None)

    def _consistent(self, what: str, question: Callable[[], bytearray], attempts: int = DUMP_ATTEMPTS) -> Dump:
        """Ask again while the kernel says that changes overtook its answer; take the last answer as it is."""
        dump = self._exchange(what, question, self._transport.dump)
        if isinstance(dump, NetlinkError):
            return Dump((), dump, consistent=True)
        return dump if dump.consistent or attempts == 1 else self._consistent(what, question, attempts - 1)

    def _exchange(
        self, what: str, question: Callable[[], bytearray], put: Callable[[bytearray], Reply]
    ) -> Reply | NetlinkError:
        """Put a question to the kernel; one that cannot be put in bytes is refused as the kernel would.

        A kernel that was out of memory for a moment is asked again. It answers EBUSY as long as the rest of the dump
        that broke off waits for us, and each of these answers lets it go on with that.
        """
        try:
            message = question()
        except ValueError as error:
            return NetlinkError(errno.EINVAL, str(error))
        broken = False
        for left in reversed(range(BROKEN_ATTEMPTS)):
            try:
                reply = put(message)
            except OSError as error:
                if error.errno != errno.ENOBUFS or not left:
                    raise KernelError(error.errno or errno.EIO, self._where(what)) from error
                broken = True
            else:
                if not broken or not left or not _is_busy(reply):
                    return reply
        raise AssertionError("the last attempt returns or raises")

    def _decode(self, decode: Callable[[bytes], Entry], answer: Message, what: str) -> Entry:
        try:
            return decode(answer.data)
        except Exception as error:  # whatever a reader raises for an answer it cannot read ends here
            raise KernelError(errno.EBADMSG, self._where(what), str(error)) from error

    def _unless(self, nothing: Collection[int], refusal: NetlinkError, what: str) -> None:
        if refusal.number not in nothing:
            raise self._error(refusal, what)

    def _error(self, refusal: NetlinkError, what: str) -> KernelError:
        return KernelError(refusal.number, self._where(what), refusal.reason)

    def _where(self, what: str) -> str:
        return f'{what} in "{self.namespace.path}"' if self.namespace is not None else what


def _is_busy(reply: object) -> bool:
    refusal = reply.refusal if isinstance(reply, Dump) else reply
    return isinstance(refusal, NetlinkError) and refusal.number == errno.EBUSY


def _leaves_by(entry: Route, link: int) -> bool:
    return entry.link == link or any(hop.link == link for hop in entry.hops)
