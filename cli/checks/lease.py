"""Checks of what this host got: the store, the lease file, the bridge's address."""

from collections.abc import Iterator
from pathlib import Path

from cli.checks import DoctorInput, Finding, InapplicableError
from cli.inspect.network_state import JOIN, NOT_JOINED, NetworkState
from overlay.backends import registry

REMEDIES = (
    (
        "permission denied",
        "give the user that tulled has both rights to the prefix: etcdctl role grant-permission --prefix ROLE readwrite PREFIX",
    ),
    (
        "user name is empty",
        "this etcd wants a user: TULLED_ETCD_USERNAME and TULLED_ETCD_PASSWORD in /etc/default/tulled",
    ),
    ("authentication failed", "correct TULLED_ETCD_USERNAME and TULLED_ETCD_PASSWORD in /etc/default/tulled"),
    ("is not valid for", "name the member in --etcd-endpoints as its certificate does, or give it one with this name"),
    (
        "CERTIFICATE_VERIFY_FAILED",
        "name the authority of etcd's certificate: TULLED_ETCD_CAFILE in /etc/default/tulled",
    ),
    ("CA file", "correct TULLED_ETCD_CAFILE in /etc/default/tulled"),
    (
        "SSL",
        "see that --etcd-endpoints has https where etcd speaks TLS, and a certificate of ours where etcd asks for one",
    ),
    ("onnection lost", "see that --etcd-endpoints has https where etcd speaks TLS, and http where it does not"),
    ("ConnectionReset", "see that --etcd-endpoints has https where etcd speaks TLS, and http where it does not"),
)
"""Part of a store's error -> what to do. The first that occurs in the error counts."""
AWAY = "start the store, open the way to it, or give tulled's own settings after -- (see tulle doctor --help)"


def headline(found: NetworkState) -> str:
    """Return what explains all other findings: there is no network here yet, or another one than tulled knows.

    Else empty.
    """
    store = Path(found.settings.store_path)
    if found.lease is None and found.settings.store_kind in ("sqlite", "file") and not store.exists():
        return f"{NOT_JOINED}: {JOIN}"
    if found.lease is None or found.config is None:
        return ""
    here = (*found.lease.networks, *found.lease.ipv6_networks)
    restart = "systemctl restart tulled"
    if set(found.config.networks) - set(here):
        return f"the store's network is {_listed(found.config.networks)}, tulled runs with {_listed(here)}: {restart}"
    names = {link.name for link in found.links}
    others = sorted(filter(registry.is_own_device, names))
    if found.devices and others and not names & set(found.devices):
        what = f"{_listed(found.devices)} ({found.config.backend_type})"
        return f"the store's network config wants {what}, tulled runs with {_listed(tuple(others))}: {restart}"
    return ""


def remedy(problem: str) -> str:
    """Return what to do about a store that cannot be read, by its error."""
    return next((remedy for words, remedy in REMEDIES if words in problem), AWAY)


def store(seen: DoctorInput) -> Iterator[Finding]:
    """Yield a finding unless the store answers and all its entries can be read."""
    found = seen.survey
    if found.store_problem:
        yield Finding(found.store_problem, remedy(found.store_problem))
    for line in found.refused:
        yield Finding(line.strip(), "correct or delete that entry; its host cannot be reached while it stands")


def lease_file(seen: DoctorInput) -> Iterator[Finding]:
    """Yield a finding unless the lease file exists and agrees with the store."""
    found = seen.survey
    if found.lease is None:
        yield Finding(found.lease_problem, "start tulled here and look at its log: systemctl status tulled")
        return
    if found.config is None:
        raise InapplicableError("the store could not be read")
    told = ", ".join(map(str, found.lease.subnets))
    if found.own is None:
        yield Finding(
            f"{found.settings.subnet_file} has {told}, which is no lease in {found.settings.name}",
            "restart tulled: it takes the lease again or writes the file anew; containers then need a restart, too",
        )
        return
    networks = (*found.lease.networks, *found.lease.ipv6_networks)
    if not set(found.config.networks) <= set(networks):
        yield Finding(
            f"{found.settings.subnet_file} is of {', '.join(map(str, networks))}, the store of {_listed(found.config.networks)}",
            "restart tulled, which writes the file anew",
        )
    public, here = found.own.attributes.public_ip, {one.address.ip for one in found.addresses}
    if public not in here and str(public) != found.settings.public_ip:
        yield Finding(
            f"the store says that {told} is at {public}, which is no address of this host",
            "restart tulled if this host's address has changed; if two hosts have one lease file, remove the copy",
        )


def bridge_address(seen: DoctorInput) -> Iterator[Finding]:
    """Yield a finding if a bridge has an address of the network, but not the lease's gateway address."""
    found = seen.survey
    if found.lease is None:
        raise InapplicableError("there is no lease file")
    bridges = {link.index: link.name for link in found.links if link.kind == "bridge"}
    gateways = dict(zip((one.version for one in found.lease.gateways), found.lease.gateways, strict=True))
    for held in found.addresses:
        v4, v6 = found.lease.networks, found.lease.ipv6_networks
        ours = any(held.address.ip in one for one in v4) or any(held.address.ip in one for one in v6)
        if held.link in bridges and ours and held.address.ip != gateways.get(held.address.version):
            yield Finding(
                f"{bridges[held.link]} has {held.address}, the lease's gateway is {gateways.get(held.address.version)}",
                f"stop the containers on it and delete the bridge: ip link delete {bridges[held.link]}; the next one makes it anew",
            )


def rivals(seen: DoctorInput) -> Iterator[Finding]:
    """Yield a finding for each other daemon on this host that uses our prefix or VNI."""
    found, own = seen.survey, seen.survey.own
    if own is None or found.config is None:
        raise InapplicableError("this host has no lease in the store")
    if {"flanneld", "tulled"} <= set(seen.daemons):
        yield Finding("flanneld and tulled both run here", "stop one of them: each undoes what the other does")
    for lease in found.leases:
        if lease.subnet != own.subnet and lease.attributes.public_ip == own.attributes.public_ip:
            yield Finding(
                f"the store has {lease.subnet} for this host's address {own.attributes.public_ip}, too",
                "stop the other daemon that uses this store here, or give it another --public-ip; an old lease ends by itself",
            )
    for tunnel in found.plan.desired.tunnels if found.plan else ():
        for link in found.links:
            if link.vxlan is not None and link.vxlan.vni == tunnel.device.vni and link.name not in found.devices:
                yield Finding(
                    f"the device {link.name} also has VNI {tunnel.device.vni}",
                    f"give one of the networks another VNI, or delete what is left: ip link delete {link.name}",
                )


def _listed(networks: tuple[object, ...]) -> str:
    return ", ".join(map(str, networks))
