"""The differences between ours and the reference that are meant. docs/compatibility.md ("At random, side by side") gives the reason of each.

A difference that is found and not listed here is a defect of ours, or gets its entry and its reason.
"""

import re
from dataclasses import dataclass

from tests.differential.sides import Call

COMMENT = re.compile(r' -m comment --comment "[0-9a-f]{16}-[0-9a-f]{16}, net: [^"]*"')
"""What ours writes at rules of iptables that the reference leaves without a name."""

IDENTITY = re.compile(r'"comment": "[0-9a-f]{16}-[0-9a-f]{16}, net: net, if: [^,]*, id: ([^"]*)"')
"""What ours writes at rules of nftables: network, container and interface, where the reference's portmap has the container alone."""

POLICY = re.compile(r"\(ingressPolicy: same-bridge\)")
"""Until it had the policy isolated (1.2), the reference did not name it in the comments of the rules that both policies share."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A call that the reference refuses with a message like this one, and ours does not."""

    verb: str
    message: str
    """regular expression"""
    reason: str


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the kernel's state or of a file that only one side has."""

    line: str
    """regular expression, of the whole line"""
    reason: str


SERVED: tuple[Refusal, ...] = (
    Refusal("DEL", ".*", "DEL finishes, whatever the configuration became"),
    Refusal("CHECK", "no document", "1.1.1 panics"),
    Refusal(
        "CHECK",
        r"could not check ipv[46] dnat: .*",
        "1.1.1 looks for rules of a family that the container or the mapping does not have",
    ),
    Refusal(
        "CHECK", r"open /proc/sys/.*IFNAME.*", "1.1.1 does not put the interface's name in place of IFNAME in CHECK"
    ),
    Refusal("ADD", r'unknown ingress policy: "isolated"', "1.1.1 has no such policy"),
    Refusal("ADD", r"failed to add route .*file exists", "a route that is there already, to the letter, is no mistake"),
    Refusal(
        "CHECK",
        r"Error: Tuning configured value of \S+ is .*, current value is .*\t.*",
        "the kernel writes a tab between the values of a parameter",
    ),
    Refusal("CHECK", "Expected Route .* not found in routing table", "1.1.1 does not find the routes it made itself"),
    Refusal("CHECK", "no plugin name provided", "a bridge without IPAM is checked"),
    Refusal(
        "CHECK", r"Bridge interface br0 Mac doesn't match: .*", "the MAC of a bridge is set when it is made, and stays"
    ),
    Refusal(
        "ADD",
        "burst cannot be more than 4GB",
        "a burst is cut to what the kernel counts, as containerd sends more than that",
    ),
    Refusal("ADD", "incompatible CNI versions", "every program knows every version"),
    Refusal("CHECK", "incompatible CNI versions", "every program knows every version"),
)

REFUSED: tuple[Refusal, ...] = (
    Refusal(
        "CHECK",
        '"br0" has MAC .*, ADD recorded .*',
        "a bridge that the reference made without a gateway changes its MAC with its ports, and the reference's CHECK fails as well",
    ),
)
"""Calls that ours refuses, with a message like this one, where the reference's own run had more luck."""

LINES: tuple[Line, ...] = (
    Line(
        r"route \S+ via None eth0 \[\] priority 0 table 254 scope (0|253) unicast source None",
        "a route without a gateway has the scope link, as ip(8) makes it, so that a gateway behind it can be named in the next route",
    ),
    Line(
        r"/var/lib/cni/networks/\.net\.index: .*",
        "host-local's index, which makes ADD as fast with thousands of reservations",
    ),
    Line(r'\{"(chain|rule)": \{.*"martians".*', "as above, with nftables"),
    Line(
        r'\{"rule": \{"chain": "masquerading".*"ct".*"dnat".*',
        "with nftables, too, a neighbour reaches a published port by the host's address, as with iptables",
    ),
    Line(
        r"4 raw .*|4 raw :(OUTPUT|PREROUTING) ACCEPT",
        "packets for 127.0.0.0/8 from elsewhere are dropped where a mapping is for it",
    ),
    Line(
        r".*CNI firewall plugin rules .ingressPolicy: published ports pass.*",
        "published ports pass, whatever the policy",
    ),
    Line(
        r"[46] filter (:CNI-FORWARD-OWNERS -|-A CNI-FORWARD-OWNERS -s .*)",
        "whose an address is stands in a chain that no packet passes, so that all other rules of firewall are the reference's",
    ),
    Line(r"[46] [a-z]+ :[A-Z]+ ACCEPT", "a table without a rule is there once somebody looked into it"),
    Line(r"/run/cni/tuning/[^:]*\.json: .*", "the backup holds sysctls, too, and is told by container and interface"),
)

GONE: tuple[Line, ...] = (Line(r"net/ipv4/ip_local_port_range = .*", "DEL of tuning puts parameters back"),)
"""What differs after the DEL alone."""

GOING_BACK: tuple[Refusal, ...] = (
    Refusal(
        "CHECK",
        r"missing (hostport|masquerading) rules in .*",
        "rules of portmap in nftables name their attachment, and the reference looks for rules that name the container alone",
    ),
)
"""Calls by which the reference refuses what ours attached."""

LEFT: tuple[Line, ...] = (
    Line(
        r'\{"rule": \{"chain": "(hostports|masquerading)".*',
        "as above: DEL of the reference does not find them; GC of ours does",
    ),
)
"""What DEL of the reference leaves of what ours attached."""

QUEUE = re.compile(r"^([^ ]+ veth .* queue )[0-9]+")
"""The length of the queue at a veth, which has none: the reference writes 0, or with bandwidth 1000; ours leaves the kernel's 1000."""


def served(call: Call) -> bool:
    """Tell whether ours is meant to succeed where the reference refused this call."""
    return _listed(call, SERVED)


def refused(call: Call) -> bool:
    """Tell whether a call may be refused that the reference served in its own run."""
    return _listed(call, REFUSED + GOING_BACK)


def meant(line: str, *, gone: bool, going_back: bool) -> bool:
    """Tell whether one side alone is meant to have this line; `going_back` when the reference detached what ours attached."""
    listed = LINES + (GONE if gone else ()) + (LEFT if going_back else ())
    return any(re.fullmatch(one.line, line, re.DOTALL) for one in listed)


def _listed(call: Call, refusals: tuple[Refusal, ...]) -> bool:
    return any(one.verb == call.verb and re.fullmatch(one.message, str(call.said), re.DOTALL) for one in refusals)
