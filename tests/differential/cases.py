"""Draws configurations and the calls a runtime makes with them, for the differential run (`python -m tests.differential`).

A case is a chain of plugins for one or two containers. Most of what is drawn is valid; a part of it is wrong in one place, because the
reference's refusals are behaviour too. Values come from small pools, so that several containers, ranges and ports meet.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from hypothesis import strategies as st

Json = dict[str, Any]

NEWEST = {"1.1.1": "1.0.0", "1.9.1": "1.1.0"}
"""Release of the reference -> the newest version of the protocol it knows."""

SINCE_1_9: dict[str, frozenset[str]] = {
    "bridge": frozenset({"ipMasqBackend", "disableContainerInterface", "portIsolation"}),
    "portmap": frozenset({"backend", "masqAll"}),
    "firewall": frozenset(),
    "bandwidth": frozenset(),
    "tuning": frozenset({"allmulti", "txQLen"}),
}
"""Keys that 1.1.1 does not know, and so ignores, by program."""

BRIDGE = "br0"
MACS = ("02:11:22:33:44:55", "02:99:88:77:66:55")
"""What a runtime gives to bridge, and a configuration to tuning."""

ARGS = (
    "IP=10.9.0.11",
    "IP=10.9.0.1",
    "IP=10.9.0.22/24;GATEWAY=10.9.0.1",
    "IP=10.9.0.22/24,fd00:9::22/64;IgnoreUnknown=1",
    "GATEWAY=10.9.0.254",
    "K8S_POD_NAME=x",
    "IgnoreUnknown=1;A=b",
)
"""CNI_ARGS: what host-local and static know, and what they do not."""

V4 = ("10.9.0.0/24", "10.9.1.0/29", "192.168.77.0/30", "10.9.0.0/28")
V6 = ("fd00:9::/64", "fd00:9:1::/124")
ROUTES: tuple[Json, ...] = (
    {"dst": "0.0.0.0/0"},
    {"dst": "172.30.0.0/16"},
    {"dst": "172.31.0.0/16", "gw": "10.9.0.1"},
    {"dst": "::/0"},
    {"dst": "fd00:8::/64"},
)

RESOLV_CONF = "/run/resolv.conf"
"""Lies there with the content RESOLVER."""

RESOLVER = """# made for the differential run
nameserver 192.0.2.53
nameserver 2001:db8::53
domain one.example
search one.example two.example
search three.example
options ndots:2 timeout:1
"""


@dataclass(frozen=True, slots=True)
class Case:
    """What a runtime is given: the plugins of a list in their order, and for each container its CNI_ARGS and interface."""

    version: str
    """cniVersion of the list"""
    plugins: tuple[Json, ...]
    containers: tuple[Json, ...]
    """each {"id", "ifname", "args"}"""
    runtime: Mapping[str, Any] = field(default_factory=dict)
    """runtimeConfig of every plugin"""


def optional(**keys: st.SearchStrategy[Any]) -> st.SearchStrategy[Json]:
    """Draw an object in which each key may be absent."""
    return st.fixed_dictionaries({}, optional=keys)


def mostly(value: Any, *others: Any) -> st.SearchStrategy[Any]:
    """Draw `value` in about two cases of three, else one of the others."""
    return st.one_of(st.just(value), st.just(value), st.sampled_from(others))


DNS = mostly({"nameservers": ["192.0.2.53"]}, {"domain": "x"}, {"search": []}, {"options": ["ndots:2"]})


@st.composite
def ranges(draw: st.DrawFn) -> Json:
    """Draw host-local's ranges: the old form, the new one, both, or none."""
    subnet = st.sampled_from(V4 + V6 + ("10.9.0.5/24", "10.9.0.0/31", "10.9.0.0/32"))
    one = st.fixed_dictionaries(
        {"subnet": mostly("10.9.0.0/24", *V4, *V6, "10.9.0.5/24", "10.9.0.0/31")},
        optional={
            "rangeStart": mostly("10.9.0.10", "10.9.0.0", "10.9.0.255", "10.9.1.2", "fd00:9::10"),
            "rangeEnd": mostly("10.9.0.12", "10.9.0.9", "10.9.0.254", "10.9.1.6"),
            "gateway": mostly("10.9.0.1", "10.9.0.10", "10.9.0.254", "172.30.0.1"),
        },
    )
    kind = draw(st.sampled_from(("old", "old", "one set", "two sets", "pool", "none")))
    if kind == "old":
        return draw(
            st.fixed_dictionaries(
                {"subnet": mostly("10.9.0.0/24", "10.9.1.0/29", "fd00:9::/64", "10.9.0.5/24", "10.9.0.0/31")},
                optional={
                    "rangeStart": mostly("10.9.0.10", "10.9.0.0", "10.9.1.2"),
                    "rangeEnd": mostly("10.9.0.12", "10.9.0.9", "10.9.0.255"),
                    "gateway": mostly("10.9.0.1", "10.9.0.10", "10.9.0.254"),
                },
            )
        )
    if kind == "one set":
        return {"ranges": [[draw(one)]]}
    if kind == "two sets":
        return {"ranges": [[{"subnet": draw(st.sampled_from(V4))}], [{"subnet": draw(subnet)}]]}
    if kind == "pool":
        return {"ranges": [[draw(one), {"subnet": draw(subnet)}]]}
    return {}


@st.composite
def ipam(draw: st.DrawFn) -> Json:
    """Draw host-local's object; `exclude` and `subnetFile` are ours alone and have their tests elsewhere."""
    given = draw(optional(routes=routes(), resolvConf=mostly(RESOLV_CONF, "/run/nothing")))
    return {"type": "host-local", **draw(ranges()), **given}


def routes() -> st.SearchStrategy[list[Json]]:
    """Draw routes to different destinations."""
    return st.lists(st.sampled_from(ROUTES), max_size=3, unique_by=lambda route: str(route["dst"]))


@st.composite
def static(draw: st.DrawFn) -> Json:
    """Draw static's object."""
    address = st.fixed_dictionaries(
        {
            "address": mostly(
                "10.9.0.20/24", "10.9.0.21/24", "fd00:9::20/64", "172.30.0.9/16", "10.9.0.20", "10.9.0.999/24"
            )
        },
        optional={"gateway": mostly("10.9.0.1", "fd00:9::1", "10.9.0.254", "nonsense")},
    )
    given = draw(optional(addresses=st.lists(address, max_size=3), routes=routes(), dns=DNS))
    return {"type": "static", **given}


def plain_ipam(*, dual: bool) -> Json:
    """Return an object that gives an address of each family wanted, for chains whose subject is another plugin."""
    sets = [[{"subnet": "10.9.0.0/24"}], *([[{"subnet": "fd00:9::/64"}]] if dual else [])]
    return {"type": "host-local", "ranges": sets}


@st.composite
def bridge(draw: st.DrawFn) -> Json:
    """Draw the object of bridge, with host-local or static behind it, or none."""
    given = draw(
        optional(
            isGateway=st.booleans(),
            isDefaultGateway=st.booleans(),
            forceAddress=st.booleans(),
            ipMasq=mostly(False, True),
            ipMasqBackend=mostly("iptables", "nftables", "ebtables"),
            mtu=mostly(1450, 1280, 9000, 60),
            hairpinMode=mostly(False, True),
            promiscMode=mostly(False, True),
            macspoofchk=mostly(False, True),
            enabledad=mostly(False, True),
            disableContainerInterface=mostly(False, True),
            portIsolation=mostly(False, True),
            dns=DNS,
            vlan=mostly(0, 4095, -1),
        )
    )
    addresses = draw(st.sampled_from(("host-local", "host-local", "host-local", "static", "none")))
    drawn: dict[str, st.SearchStrategy[Json]] = {
        "host-local": st.fixed_dictionaries({"ipam": ipam()}),
        "static": st.fixed_dictionaries({"ipam": static()}),
        "none": st.sampled_from(({}, {"ipam": {}})),
    }
    wishes = draw(
        optional(args=mostly({"cni": {"ips": ["10.9.0.12"]}}, {"cni": {"ips": ["10.9.0.30/24"]}}, {"cni": {}}))
    )
    return {"type": "bridge", "bridge": BRIDGE, **given, **wishes, **draw(drawn[addresses])}


MAPPING = st.fixed_dictionaries(
    {
        "hostPort": st.sampled_from((8080, 8081, 8082, 53, 65535, 0)),
        "containerPort": st.sampled_from((80, 80, 53, 0)),
        "protocol": st.sampled_from(("tcp", "tcp", "udp", "sctp")),
    },
    optional={"hostIP": st.sampled_from(("0.0.0.0", "127.0.0.1", "::", "10.9.0.1"))},
)


@st.composite
def portmap(draw: st.DrawFn) -> tuple[Json, Json]:
    """Draw the object of portmap and the capability it is given; published ports of one call differ."""
    given = draw(
        optional(
            backend=mostly("iptables", "nftables"),
            snat=st.booleans(),
            masqAll=st.booleans(),
            markMasqBit=mostly(13, 5, 31, 32, -1),
            conditionsV4=st.just(["-s", "192.0.2.0/24"]),
            conditionsV6=st.just(["!", "-s", "fd00:7::/64"]),
        )
    )
    mappings = draw(st.lists(MAPPING, max_size=4, unique_by=lambda each: (each["hostPort"], each["protocol"])))
    return {"type": "portmap", "capabilities": {"portMappings": True}, **given}, {"portMappings": mappings}


@st.composite
def firewall(draw: st.DrawFn) -> tuple[Json, Json]:
    """Draw the object of firewall."""
    given = draw(
        optional(
            backend=st.just("iptables"),
            ingressPolicy=mostly("open", "same-bridge", "isolated", "closed"),
            iptablesAdminChainName=mostly("CNI-ADMIN", "MINE"),
            firewalldZone=st.just("trusted"),
        )
    )
    return {"type": "firewall", **given}, {}


# bursts that no kernel can count are tests/netns/bandwidth's: the reference writes a buffer cut to 32 bits
LIMITS = optional(
    ingressRate=mostly(1_000_000, 0, 123_456_789, 2**40),
    ingressBurst=mostly(80_000, 0, 8, 2**24, 2**35),
    egressRate=mostly(1_000_000, 0, 987_654_321),
    egressBurst=mostly(80_000, 0, 8, 2**24),
)


@st.composite
def bandwidth(draw: st.DrawFn) -> tuple[Json, Json]:
    """Draw the object of bandwidth: limits of its own, of the runtime, or both."""
    own = draw(st.one_of(st.just({}), LIMITS))
    given = draw(st.one_of(st.just({}), LIMITS))
    return {"type": "bandwidth", "capabilities": {"bandwidth": True}, **own}, ({"bandwidth": given} if given else {})


@st.composite
def tuning(draw: st.DrawFn) -> tuple[Json, Json]:
    """Draw the object of tuning."""
    given = draw(
        optional(
            sysctl=st.dictionaries(
                st.sampled_from(
                    (
                        "net.ipv4.conf.IFNAME.log_martians",
                        "net.ipv4.ip_local_port_range",
                        "net/ipv4/conf/eth0/arp_filter",
                        "kernel.hostname",
                        "net.ipv4.nothing",
                    )
                ),
                st.sampled_from(("1", "0", "1024 60000")),
                max_size=2,
            ),
            mac=mostly(MACS[1], "no mac"),
            promisc=st.booleans(),
            mtu=mostly(1400, 1280),
            allmulti=st.booleans(),
            txQLen=mostly(500, 0, 20000),
        )
    )
    return {"type": "tuning", **given}, {}


def containers(count: int, *, args: str = "") -> tuple[Json, ...]:
    """Return `count` containers with one interface each."""
    return tuple({"id": f"c{number}", "ifname": "eth0", "args": args} for number in range(1, count + 1))


@st.composite
def cases(draw: st.DrawFn, release: str) -> Case:
    """Draw a case for a release of the reference: bridge with host-local alone, or with plugins chained to it."""
    case = draw(_cases(release))
    if release != "1.1.1":
        return case
    known = [{key: value for key, value in each.items() if key not in SINCE_1_9[each["type"]]} for each in case.plugins]
    for each in known:
        if "ipam" in each:  # 1.1.1 loses what its IPAM plugin says of the resolver
            each["ipam"] = {key: value for key, value in each["ipam"].items() if key not in ("resolvConf", "dns")}
    return replace(case, plugins=tuple(known))


@st.composite
def _cases(draw: st.DrawFn, release: str) -> Case:
    newest = NEWEST[release]
    older = [one for one in ("0.3.1", "0.4.0", "1.0.0", "1.1.0") if one <= newest]
    subject = draw(st.sampled_from(("bridge", "bridge", "portmap", "firewall", "bandwidth", "tuning", "all")))
    if subject in ("firewall", "all"):
        older.remove("0.3.1")  # the reference's firewall does not know it, ours does
    version = draw(mostly(newest, *older, "0.2.0")) if subject == "bridge" else draw(mostly(newest, *older))
    args = draw(mostly("", *ARGS))
    if subject == "bridge":
        runtime = draw(
            optional(
                ips=mostly(["10.9.0.11"], ["10.9.0.11/24", "fd00:9::5"], ["nonsense"]), mac=mostly(MACS[0], "no mac")
            )
        )
        plugin = draw(bridge())
        if plugin.get("ipam", {}).get("type") == "host-local":
            # which of the wishes of several places is served first is left to chance by the reference
            if "args" in plugin:
                args, runtime = "", {key: value for key, value in runtime.items() if key != "ips"}
            elif "ips" in runtime:
                args = ""
        return Case(version, (plugin,), containers(draw(st.integers(1, 3)), args=args), runtime)
    first = {
        "type": "bridge",
        "bridge": BRIDGE,
        "isGateway": True,
        "ipMasq": draw(mostly(False, True)),
        "ipam": plain_ipam(dual=draw(st.booleans())),
    }
    chained: dict[str, st.SearchStrategy[tuple[Json, Json]]] = {
        "portmap": portmap(),
        "firewall": firewall(),
        "bandwidth": bandwidth(),
        "tuning": tuning(),
    }
    names = ["portmap", "firewall", "bandwidth", "tuning"] if subject == "all" else [subject]
    drawn = [draw(chained[name]) for name in names]
    runtime = {key: value for _, given in drawn for key, value in given.items()}
    return Case(version, (first, *(own for own, _ in drawn)), containers(1), runtime)
