"""Tries a network before this host joins it: whether its store answers, has a config, and whether its range is free here.

Changes nothing, and takes seconds at most. Blind spot: whether the user of an etcd may write there is seen only by writing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from cli.checks import lease as agreed
from cli.inspect import network_state
from cli.inspect.network_state import NetworkState
from overlay.backends import IPAddress, IPNetwork, registry
from overlay.config import ranges
from overlay.config.network import NetworkConfig
from overlay.config.settings import Settings
from overlay.errors import Refused
from overlay.stores import file

AWAY = "start etcd, open the way to it, or correct --etcd"


@dataclass(frozen=True, slots=True)
class Trial:
    """What was found: the UDP ports of its tunnels, the addresses of its hosts, and what to think of."""

    ports: tuple[int, ...]
    hosts: tuple[IPAddress, ...]
    warnings: tuple[str, ...] = ()


def run(settings: Settings, hosts: str, own: Sequence[str]) -> Trial:
    """Try the network of the settings, with the text `hosts` for its hosts file ("" where it has none); `own` names its links.

    Raises Refused with what is in the way, and KernelError.
    """
    found = network_state.read(settings)
    if hosts:
        listed = file.parse(hosts, settings.store_path)
        config, addresses = listed.config, tuple(host.public_ip for host in listed.hosts)
    elif found.config is None:
        raise Refused(found.store_problem, remedy=_remedy(found.store_problem))
    else:
        config, addresses = found.config, tuple(lease.attributes.public_ip for lease in found.leases)
    refuse_taken(config, found, own)
    doubts = tuple(filter(None, map(ranges.doubtful, config.networks)))
    return Trial(tuple(sorted(registry.require_known(config).resources(config).ports)), addresses, doubts)


def _remedy(problem: str) -> str:
    """Return what to do about a store that is to be joined; nothing where the store's own words say it."""
    if "put one: " in problem:
        return ""
    known = agreed.remedy(problem)
    return AWAY if known == agreed.AWAY else known


def refuse_taken(config: NetworkConfig, found: NetworkState, own: Sequence[str]) -> None:
    """Raise Refused where the range cannot be a network's, or this host has it already, unless it is in this network by its lease."""
    joined: tuple[IPNetwork, ...] = (*found.lease.networks, *found.lease.ipv6_networks) if found.lease else ()
    for network in config.networks:
        if why := ranges.forbidden(network):
            raise Refused(why, remedy="give a private range, like 10.42.0.0/16")
        taken = list(ranges.overlaps(network, found.links, found.addresses, found.routes, own))
        if taken and network not in joined:
            remedy = "give the network another range (--network, or its config in etcd), or take that away here"
            raise Refused(f"{network} overlaps {' and '.join(taken)} on this host", remedy=remedy)
