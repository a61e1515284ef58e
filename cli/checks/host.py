"""Checks of the host itself: whether it forwards, filters and routes as the network needs."""

from collections.abc import Iterator

from cli.checks import DoctorInput, Finding, InapplicableError
from cli.inspect.network_state import DesiredNow
from kernel.netlink.objects import Route

STRICT = "1"


def forwarding(seen: DoctorInput) -> Iterator[Finding]:
    """Yield a finding unless the host forwards each family of the network, and its FORWARD chain accepts it."""
    found = seen.survey
    keys = ["net/ipv4/ip_forward", *(["net/ipv6/conf/all/forwarding"] if found.config and found.config.ipv6 else [])]
    for key in keys:
        if found.sysctls.get(key) != "1":
            name = key.replace("/", ".")
            yield Finding(
                f"{name} is {found.sysctls.get(key)}",
                f"sysctl -w {name}=1, and look for what sets it back in /etc/sysctl.d",
            )
    if seen.forward_drops:
        yield Finding(
            "iptables' FORWARD chain drops by policy, and no rule accepts the network",
            "leave --iptables-forward-rules on and tulled running, or accept the network there yourself",
        )


def isolation(seen: DoctorInput) -> Iterator[Finding]:
    """Yield a finding unless the networks of this host are separated and nobody changes tulled's rules."""
    if seen.exposed:
        yield Finding(f"missing: {seen.exposed}", "tulle repair, and look at tulled's log for what it could not do")
    if seen.contested:
        saw, _, remedy = seen.contested.partition("; ")
        yield Finding(saw, remedy)


def bridged(seen: DoctorInput) -> Iterator[Finding]:
    """Yield a finding if iptables drops frames between containers of one bridge."""
    on = [
        key for key in ("iptables", "ip6tables") if seen.survey.sysctls.get(f"net/bridge/bridge-nf-call-{key}") == "1"
    ]
    if not on:
        raise InapplicableError("br_netfilter is not at work here")
    if seen.forward_drops:
        yield Finding(
            f"br_netfilter hands bridged frames to {' and '.join(on)}, whose FORWARD chain drops them",
            "accept the network in FORWARD (tulled does), or sysctl -w net.bridge.bridge-nf-call-iptables=0",
        )


def reverse_path(seen: DoctorInput) -> Iterator[Finding]:
    """Yield a finding if a strict reverse path filter drops packets of a peer, because another route leads to it."""
    plan = _plan(seen)
    for subnet, link in plan.ways.items():
        for device in seen.survey.devices:
            if link != device and plan.filters.get(device) == STRICT:
                yield Finding(
                    f"rp_filter is strict on {device}, and the route to {subnet} leaves by {link or 'no link'}: its packets are dropped",
                    f"remove the route that leads elsewhere, or sysctl -w net.ipv4.conf.{device}.rp_filter=2 and ...all.rp_filter=2",
                )


def routes(seen: DoctorInput) -> Iterator[Finding]:
    """Yield a finding for each route or address of the host that lies inside the network."""
    plan, found = _plan(seen), seen.survey
    names = {link.index: link.name for link in found.links}
    ours = {*found.devices, *(link.name for link in found.links if link.kind == "bridge")}
    direct = {(dst, gateway) for dst, gateway, _ in plan.desired.direct.routes} if plan.desired.direct else set()
    for route in found.routes:
        link = names.get(route.link, "")
        if (
            route.kind == "unicast"
            and link not in ours
            and (route.dst, route.gateway) not in direct
            and _inside(route, seen)
        ):
            yield Finding(
                f"the route {route.dst}{f' via {route.gateway}' if route.gateway else ''} dev {link} leads into the network",
                "give the network a range this host does not use, or delete the route if it is an old one",
            )


def published(seen: DoctorInput) -> Iterator[Finding]:
    """Yield a finding for each published port whose address the host does not have."""
    yield from seen.waiting


def _inside(route: Route, seen: DoctorInput) -> bool:
    networks = seen.survey.config.networks if seen.survey.config else ()
    return any(
        route.dst.version == one.version and route.dst.prefixlen >= one.prefixlen and route.dst.network_address in one
        for one in networks
    )


def _plan(seen: DoctorInput) -> DesiredNow:
    if seen.survey.plan is None:
        raise InapplicableError(seen.survey.plan_problem)
    return seen.survey.plan
