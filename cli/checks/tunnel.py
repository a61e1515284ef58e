"""Checks of the paths to other hosts: the kernel's entries against the leases, and what other hosts answered.

Everything is seen from this host only. Where that does not suffice, the remedy says what to look at on the other host.
"""

from collections.abc import Iterator

from cli.checks import DoctorInput, Finding, InapplicableError, lease
from cli.inspect import reachability
from cli.inspect.reachability import PeerPath
from overlay.backends import registry
from overlay.firewall import tunnel_filter


def entries(seen: DoctorInput) -> Iterator[Finding]:
    """Yield a finding unless devices, neighbours, FDB entries and routes are as the leases say."""
    found = seen.survey
    if found.plan is None:
        raise InapplicableError(found.plan_problem)
    for words in found.plan.differences:
        if not words.startswith("setting mac "):  # another check reports that
            yield Finding(
                f"missing in the kernel: {words.removeprefix('adding ')}"
                if words.startswith(("adding ", "creating "))
                else f"wrong in the kernel, and still to be done: {words}",
                "start tulled: it does that within seconds; where it runs and this comes back, look for who undoes it: ip monitor",
            )
    known = registry.require_known(found.config).remedies if found.config else ()
    for reason in found.plan.desired.unusable:
        remedy = next((remedy for words, remedy in known if words in reason), UNUSABLE)
        yield Finding(f"a lease cannot be used: {reason}", remedy)


def guarded(seen: DoctorInput) -> Iterator[Finding]:
    """Yield a finding unless the tunnel accepts packets of the network's hosts only."""
    found = seen.survey
    if found.plan is None or found.plan.desired.guard is None:
        raise InapplicableError("there is no tunnel that anybody could send to")
    if not found.settings.tunnel_guard:
        raise InapplicableError("it is switched off with --tunnel-guard=false")
    if found.drops is None:
        name = tunnel_filter.name(found.plan.desired.guard.name)
        yield Finding(
            f"table inet {name} does not stand: containers and strangers may send to the tunnel as if they were a host",
            "start tulled, and look at its log for why it cannot set it",
        )


def macs(seen: DoctorInput) -> Iterator[Finding]:
    """Yield a finding unless each of our devices has the MAC that other hosts were told."""
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


def reachable(seen: DoctorInput) -> Iterator[Finding]:
    """Yield a finding unless an echo comes back through the tunnel from every host, in every family.

    It names the direction.
    """
    answers, port = seen.answers, reachability.port(seen.survey)
    for way in _asked(seen):
        if way in answers.tunnel:
            continue
        if way in answers.refused:
            yield Finding(
                f"nothing comes back through the tunnel from {way.name}: it answers, but nobody listens on UDP port {port} there",
                "start tulled on that host",
            )
        elif way in answers.halved:
            yield _direction(seen, way, port)
        elif way in answers.beside:
            yield Finding(
                f"nothing comes back through the tunnel from {way.name}, though the host itself answers", _OTHER
            )
        else:
            yield Finding(
                f"nothing comes back from {way.name}, neither through the tunnel nor beside it",
                "see that the host is up and that this one has a route to it",
            )


UNUSABLE = "correct that host's daemon or entry in the store"
_OTHER = "run tulle doctor on that host, too"


def _direction(seen: DoctorInput, way: PeerPath, port: int) -> Finding:
    """Return which direction is blocked: if one direction is proved to work, it is the other."""
    there, back, here = way in seen.answers.there, way in seen.answers.back, _here(seen, way)
    start = f"nothing comes back through the tunnel from {way.name}, though the host itself answers"
    if there and back:
        return Finding(
            f"{start}; each direction alone carries packets",
            "look for a firewall, on either host, that drops what is inside the tunnel, from subnet to subnet",
        )
    if there:
        return Finding(
            f"{start}; it hears us, we do not hear it",
            f"let UDP port {port} through from {way.public} to {here}: out of that host, between, and into this one",
        )
    if back:
        return Finding(
            f"{start}; we hear it, it does not hear us",
            f"let UDP port {port} through from {here} to {way.public}: out of this host, between, and into that one",
        )
    return Finding(
        f"{start}; which direction is blocked cannot be told from here, neither could be proved alone",
        f"let UDP port {port} through every firewall between {here} and {way.public}, both ways; {_OTHER}",
    )


def _here(seen: DoctorInput, way: PeerPath) -> object:
    """Return the address by which the other host knows this one."""
    own = seen.survey.own
    return (own.attributes.public_ip if way.subnet.version == 4 else own.attributes.public_ipv6) if own else "this host"


def widths(seen: DoctorInput) -> Iterator[Finding]:
    """Yield a finding unless a packet as large as containers may send arrives."""
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
    can_tell = seen.answers.ways and not seen.answers.problem and not lease.headline(found)
    for way in _asked(seen) if can_tell else ():
        if way in seen.answers.tunnel and way not in seen.answers.wide:
            yield Finding(
                f"small packets come back from {way.name}, those of {found.lease.mtu} bytes do not",
                'give every host\'s network config a smaller "MTU" in "Backend", or mend the way: a firewall may drop fragments',
            )


def checksums(seen: DoctorInput) -> Iterator[Finding]:
    """Yield a finding unless TCP arrives where echoes do.

    A network card with wrong checksums in tunnels loses only TCP.
    """
    for way in _asked(seen):
        if way in seen.answers.tunnel and way not in seen.answers.tcp:
            devices = " ".join(f"ethtool -K {name} tx-checksum-ip-generic off;" for name in seen.survey.devices)
            yield Finding(
                f"echoes come back from {way.name}, TCP does not",
                f"on both hosts try: {devices} if that mends it keep it; else a firewall drops TCP in the tunnel",
            )


def _asked(seen: DoctorInput) -> tuple[PeerPath, ...]:
    if headline := lease.headline(seen.survey):  # that is why nobody answers, not a firewall
        raise InapplicableError(headline)
    if seen.answers.problem:
        raise InapplicableError(seen.answers.problem)
    if not seen.answers.ways:
        raise InapplicableError("there is no other host to ask")
    return seen.answers.ways
