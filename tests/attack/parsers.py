"""Damages what our parsers read from others, and looks for what comes out but an answer or the refusal that is documented.

Seeds are what the real ones read: configurations of tests/vectors, conf/, a lease file, recorded requests, and this kernel's own netlink
answers. Each is damaged in its bytes, or as JSON in its values, keys and depth; a case that takes longer than a second is broken too.
Everything is drawn from the seed and its number, so `Case` in a line is enough to try it again. Must not start a program.
"""

import json
import random
import signal
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any

from agent import protocol
from agent.protocol import DeclinedError
from cli.commands import lint
from cli.inspect import daemon_settings
from cni import args, json_object, results, versions
from cni.errors import CniError
from driver import attachment, network
from kernel import wireguard
from kernel.firewall import iptables, nft_monitor
from kernel.netlink import address, conntrack, link_read, monitor, route, tc, transport
from kernel.netlink import message as frames
from kernel.netlink.transport import Transport
from lease import file as lease_file
from lease import tunnel
from overlay.errors import Refused
from tests.attack.figures import Budget, Figures
from tests.lab.daemon import ROOT
from tests.unit.driver.recorded import CREATE, SETUP
from tests.vectors.reading import vectors

SLOWEST = 1.0
LINES = 20
"""How many broken cases are told; more of one parser are the same."""

NUMBERS = (0, 1, -1, 2**31, 2**63, 2**64, 10**400, 1.5, float("1e308"))
WORDS = (
    "",
    "x",
    "\0",
    "a\nb",
    "../x",
    "\ud800",
    "\u2028",
    "10.1.0.0/24",
    "fd00::/64",
    "0.0.0.0/0",
    "::ffff:1.2.3.4",
    "eth0",
    "x" * 300,
)
ODD_BYTES = (
    b"",
    b"\0",
    b"\xff",
    b"\x00\x00",
    b"\xff\xff",
    b"=",
    b"'",
    b'"',
    b"\\",
    b"\n",
    b";",
    b"\t",
    b"1e999",
    b"-0",
    b"\xed\xa0\x80",
)
LEASE = b"FLANNEL_NETWORK=10.42.0.0/16\nFLANNEL_SUBNET=10.42.7.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n# end\n"
SAVED = rb'-A CNI-FORWARD -s 10.1.0.5/32 -i "it\'s" -m comment --comment "net: \"n\", if: eth0" -j ACCEPT'
PEER = "AAAA=\tBBBB=\t192.0.2.1:51820\t10.1.0.0/16,fd00::/64\t1700000000\t1\t2\toff"


@dataclass(frozen=True, slots=True)
class Target:
    """A parser: what damages its seeds, and the errors it may raise."""

    name: str
    parse: Callable[[bytes], object]
    seeds: Sequence[bytes]
    allowed: tuple[type[BaseException], ...]
    is_json: bool = False


def _configurations() -> Sequence[bytes]:
    """Return every configuration of the vectors and every sample, as JSON."""
    placed = (each["stdin"] for vector in vectors() for each in vector.exchanges if "stdin" in each)
    samples = (path.read_bytes() for path in sorted((ROOT / "conf").glob("*.conf*")))
    return [*(json.dumps(one).encode() for one in placed), *samples]


def _answers() -> Iterator[bytes]:
    """Yield what this kernel answers, a datagram each."""
    questions = [link_read.dump(), address.dump(1), route.dump_routes(2, 254, 0), route.dump_neighbours(1), tc.dump(1)]
    for question in questions:
        door = Transport(None)
        try:
            yield b"".join(each.data for each in door.dump(question).answers)
        finally:
            door.close()


class _Replay:
    """A socket that answers with one datagram and then has no more to say."""

    def __init__(self, datagram: bytes) -> None:
        self._left = [datagram]

    def sendmsg(self, _: object) -> None:
        """Take a question."""

    def recvfrom(self, _: int) -> tuple[bytes, tuple[int, int]]:
        """Return the answer once; OSError afterwards."""
        if not self._left:
            raise OSError(105, "No buffer space available")
        return self._left.pop(), (0, 0)


def _exchanged(datagram: bytes) -> None:
    """Have a dump answered by `datagram`, numbered as it expects."""
    numbered = bytearray(datagram)
    if len(numbered) >= frames.HEADER.size:
        transport.SEQUENCE.pack_into(numbered, transport.SEQUENCE_OFFSET, 1)
    door = Transport.__new__(Transport)
    door._socket, door._sequence, door.sent = _Replay(bytes(numbered)), 0, 0  # type: ignore[assignment]
    door.dump(bytearray(frames.HEADER.size))


READERS = (link_read.read, address.read, route.route, route.neighbour, route.fdb, tc.read, tc.read_redirect)


def _read(data: bytes) -> None:
    """Have every reader look at every message; kernel.netlink.handle turns whatever it raises into one error."""
    for answer in transport.split(data):
        for reader in READERS:
            try:
                reader(answer.data)
            except (ValueError, LookupError, struct.error, TypeError, OverflowError):
                continue
        monitor.change_of(answer)
        nft_monitor.table_of(answer)
        dict(conntrack._attributes(answer.data, frames.HEADER.size))


def _converted(data: bytes) -> None:
    document = json_object.load(data)
    for version in versions.SUPPORTED:
        try:
            results.dump(results.parse(document, version), version)
        except CniError:
            continue


def targets() -> Sequence[Target]:
    """Return every parser that reads what others wrote."""
    configurations = _configurations()
    told = [json.dumps(one).encode() for one in (CREATE, SETUP)]
    message = protocol.compose(protocol.Message(bytes(32), "/opt/cni/bin/bridge", 0o22, b"A=b\0", b"{}"))
    entry = {"table": "tulle-guard", "ports": [8472], "vni": 1, "protocols": [4], "underlay": "eth0"}
    return (
        Target("lint", lint.mistakes_of, configurations, (), is_json=True),
        Target("config", json_object.decode, configurations, (CniError,), is_json=True),
        Target("results", _converted, configurations, (CniError,), is_json=True),
        Target(
            "netavark network", lambda data: network.parse(json_object.decode(data)), told, (CniError,), is_json=True
        ),
        Target(
            "netavark request", lambda data: attachment.parse(json_object.decode(data)), told, (CniError,), is_json=True
        ),
        Target(
            "CNI_ARGS", lambda data: args.parse(_text(data), {"IP"}), [b"IgnoreUnknown=1;IP=10.1.0.5;K=v"], (CniError,)
        ),
        Target("versions", lambda data: versions.parse(_text(data)), [b"0.3.1", b"1.1"], (ValueError,)),
        Target("lease file", lambda data: lease_file.parse(_text(data)), [LEASE], (lease_file.Unavailable,)),
        Target(
            "settings file",
            lambda data: daemon_settings.assignments(_text(data), "/f"),
            [b'A="b c"\nC=d # e\n'],
            (Refused,),
        ),
        Target("iptables-save", lambda data: iptables._words(_text(data)), [SAVED], ()),
        Target(
            "wg dump",
            lambda data: wireguard.parse(_text(data)),
            [f"KEY=\tPUB=\t1\toff\n{PEER}\n".encode()],
            (ValueError, LookupError),
        ),
        Target(
            "tunnel record",
            lambda data: tunnel.decoded(json.loads(data)),
            [json.dumps(entry).encode()],
            (ValueError, LookupError, TypeError),
            is_json=True,
        ),
        Target("agent's datagram", protocol.parse, [message], (DeclinedError,)),
        Target("netlink exchange", _exchanged, list(_answers()), (OSError,)),
        Target("netlink readers", _read, list(_answers()), (OSError,)),
    )


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def damaged(target: Target, chance: random.Random) -> bytes:
    """Return a seed of `target` with one to four things wrong."""
    data = chance.choice(target.seeds)
    for _ in range(chance.randint(1, 4)):
        if target.is_json and chance.random() < 0.8:
            data = _damaged_json(data, chance)
        else:
            at, length = chance.randrange(len(data) + 1), chance.choice((0, 0, 1, 1, 2, 8, 64))
            piece = chance.choice(
                (chance.choice(ODD_BYTES), chance.randbytes(chance.randint(1, 4)), data[at : at + length] * 2)
            )
            data = data[:at] + piece + data[at + length :]
    return data


def _damaged_json(data: bytes, chance: random.Random) -> bytes:
    """Return the document with one value, key or depth changed; as it is where it is no JSON any more."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return data
    place: Any = {"": document}
    key: Any = ""
    while isinstance(place[key], dict | list) and place[key] and chance.random() < 0.85:
        place = place[key]
        key = chance.choice(list(place)) if isinstance(place, dict) else chance.randrange(len(place))
    value: Any = chance.choice(
        (None, True, False, {}, [], [[]], {"": ""}, chance.choice(NUMBERS), chance.choice(WORDS))
    )
    how = chance.randrange(6)
    if how == 0 and isinstance(place, dict) and place is not document:
        place[chance.choice(WORDS)] = place[key]
    elif how == 1 and isinstance(place, dict) and isinstance(key, str) and key:
        place[key.swapcase()] = place.pop(key)
    elif how == 2:
        for _ in range(chance.choice((1, 30, 300))):
            place[key] = [place[key]]
    else:
        place[key] = value
    try:
        return json.dumps(place[""] if "" in place and place is not document and key == "" else document).encode()
    except (ValueError, RecursionError):
        return data


class TooSlow(BaseException):
    """A parser did not come to an end."""


def _tried(target: Target, data: bytes) -> str:
    """Return what is wrong with how `data` is read, empty when nothing is."""

    def slow(_: int, __: FrameType | None) -> None:
        raise TooSlow

    signal.signal(signal.SIGALRM, slow)
    signal.setitimer(signal.ITIMER_REAL, SLOWEST * 5)
    started = time.process_time()
    try:
        target.parse(data)
    except TooSlow:
        return "no end"
    except target.allowed:
        pass
    except Exception as unexpected:  # noqa: BLE001 - this is what is looked for
        return f"{type(unexpected).__name__}: {unexpected}"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    took = time.process_time() - started
    return f"{took:.1f} s" if took > SLOWEST else ""


def campaign(budget: Budget) -> Figures:
    """Damage seeds of every parser in turn until the budget is spent."""
    figures = Figures()
    every = targets()
    end = time.monotonic() + budget.seconds
    number = 0
    while time.monotonic() < end and (not budget.cases or number < budget.cases):
        target = every[number % len(every)]
        data = damaged(target, random.Random(f"{budget.seed} {number}"))
        if problem := _tried(target, data):
            figures.broken.append(f"{target.name}, case {number}: {problem}: {data[:400]!r}")
        figures.tried += 1
        number += 1
        if len(figures.broken) >= LINES:
            break
    return figures
