"""Checks of the ways to other hosts: what the kernel holds against the leases, and what other hosts answered.

Must not send anything itself. Blind spot: what is found is seen from this host; run the doctor on the other one, too.
"""

from collections.abc import Iterator

from cli.checks import Evidence, Finding, InapplicableError
from overlay.backends import Desired
from overlay.leases import Lease


def entries(seen: Evidence) -> Iterator[Finding]:
    """Hold that devices, ARP, FDB entries and routes are those of the leases."""
    found = seen.survey
    if found.plan is None:
        raise InapplicableError(found.plan_problem)
    for words in found.plan.differences:
        if not words.startswith("setting mac "):  # a check of its own
            yield Finding(
                f"the kernel is not as the leases say; what is wanting: {words}",
                "start tulled: it does that within seconds; where it runs and this comes back, look for who undoes it: ip monitor",
            )
    for reason in found.plan.desired.unusable:
        yield Finding(f"a lease cannot be used: {reason}", "correct that host's daemon or entry in the store")


def macs(seen: Evidence) -> Iterator[Finding]:
    """Hold that each device of ours has the MAC that the other hosts were told."""
    plan, links = seen.survey.plan, {link.name: link for link in seen.survey.links}
    if plan is None or not plan.desired.tunnels:
        raise InapplicableError("no device here has a MAC that others know")
    for tunnel in plan.desired.tunnels:
        link = links.get(tunnel.device.name)
        if link is not None and link.mac != tunnel.mac:
            yield Finding(
                f"{link.name} has the MAC {link.mac}, the store tells other hosts {tunnel.mac}",
                f"start tulled, or: ip link set {link.name} address {tunnel.mac}",
            )


def reachable(seen: Evidence) -> Iterator[Finding]:
    """Hold that an echo comes back through the tunnel from every other host."""
    for lease, public in _asked(seen):
        if seen.answers.targets[lease] in seen.answers.tunnel:
            continue
        name, port = f"{lease.subnet} at {public}", port_of(seen)
        if public in seen.answers.refused:
            yield Finding(
                f"nothing comes back through the tunnel from {name}: it answers, but nobody listens on UDP port {port} there",
                "start tulled on that host",
            )
        elif public in seen.answers.beside:
            yield Finding(
                f"nothing comes back through the tunnel from {name}, though the host itself answers",
                f"let UDP port {port} through every firewall between the two hosts, both ways; then run tulle doctor on that host",
            )
        else:
            yield Finding(
                f"nothing comes back from {name}, neither through the tunnel nor beside it",
                "see that the host is up and that this one has a route to it",
            )


def widths(seen: Evidence) -> Iterator[Finding]:
    """Hold that a packet as large as containers may send arrives."""
    found, links = seen.survey, {link.name: link for link in seen.survey.links}
    if found.lease is None or found.plan is None:
        raise InapplicableError(found.lease_problem or found.plan_problem)
    if found.lease.mtu > found.plan.mtu:
        yield Finding(
            f"the lease file allows {found.lease.mtu} bytes, {found.plan.underlay.interface} leaves room for {found.plan.mtu}",
            "restart tulled, which writes the file anew; containers take the new MTU when they are started again",
        )
    for name in found.devices:
        if name in links and links[name].mtu < found.lease.mtu:
            yield Finding(
                f"{name} carries {links[name].mtu} bytes, the lease file allows {found.lease.mtu}",
                f"restart tulled, or: ip link set {name} mtu {found.lease.mtu}",
            )
    for lease, public in _asked(seen) if seen.answers.targets and not seen.answers.problem else ():
        target = seen.answers.targets[lease]
        if target in seen.answers.tunnel and target not in seen.answers.wide:
            yield Finding(
                f"small packets come back from {lease.subnet} at {public}, those of {found.lease.mtu} bytes do not",
                'give every host\'s network config a smaller "MTU" in "Backend", or mend the way: a firewall may drop fragments',
            )


def checksums(seen: Evidence) -> Iterator[Finding]:
    """Hold that TCP arrives where echoes do; a network card that miscounts the checksums of tunnels loses it alone."""
    for lease, public in _asked(seen):
        target = seen.answers.targets[lease]
        if target in seen.answers.tunnel and target not in seen.answers.tcp:
            devices = " ".join(f"ethtool -K {name} tx-checksum-ip-generic off;" for name in seen.survey.devices)
            yield Finding(
                f"echoes come back from {lease.subnet} at {public}, TCP does not",
                f"on both hosts try: {devices} if that mends it keep it; else a firewall drops TCP in the tunnel",
            )


def port_of(seen: Evidence) -> int:
    """Return the UDP port of the tunnel, 0 where there is none."""
    wanted = seen.survey.plan.desired if seen.survey.plan else Desired()
    carried = (pipe.carrier.port for pipe in wanted.pipes)
    return wanted.guard.port if wanted.guard else next(carried, 0)


def _asked(seen: Evidence) -> list[tuple[Lease, object]]:
    if seen.answers.problem:
        raise InapplicableError(seen.answers.problem)
    if not seen.answers.targets:
        raise InapplicableError("there is no other host to ask")
    return [(lease, lease.attributes.public_ip) for lease in seen.answers.targets]
