"""Tests a network before this host joins it: the store answers and has a config, and the range is not used here.

It changes nothing and takes seconds at most. Whether the user of an etcd may write is not tested: only writing would
show that.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from cli.checks import lease as agreed
from cli.inspect import network_state
from cli.inspect.network_state import NetworkState
from overlay.backends import registry
from overlay.config import ranges
from overlay.config.network import NetworkConfig
from overlay.config.settings import Settings
from overlay.errors import Refused
from overlay.stores import file
from system.ip import IPAddress, IPNetwork

AWAY = "start etcd, open the way to it, or correct --etcd"


@dataclass(frozen=True, slots=True)
class Trial:
    """What was found."""

    ports: tuple[int, ...]  # UDP ports of the network's tunnels
    hosts: tuple[IPAddress, ...]  # addresses of its hosts
    warnings: tuple[str, ...] = ()  # for the person who joins


def run(settings: Settings, hosts: str, own: Sequence[str]) -> Trial:
    """Test the network of the settings.

    `hosts` is the text of its hosts file, or empty; `own` are the names of its links.

    Raises Refused with what prevents the join, and KernelError.
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
    """Return what to do about a store's problem; empty where the store's own text says it."""
    if "put one: " in problem:
        return ""
    known = agreed.remedy(problem)
    return AWAY if known == agreed.AWAY else known


def refuse_taken(config: NetworkConfig, found: NetworkState, own: Sequence[str]) -> None:
    """Raise Refused if the range cannot be a network's, or this host uses it for something else than this network."""
    joined: tuple[IPNetwork, ...] = (*found.lease.networks, *found.lease.ipv6_networks) if found.lease else ()
    for network in config.networks:
        if why := ranges.forbidden(network):
            raise Refused(why, remedy="give a private range, like 10.42.0.0/16")
        taken = list(ranges.overlaps(network, found.links, found.addresses, found.routes, own))
        if taken and network not in joined:
            remedy = "give the network another range (--network, or its config in etcd), or take that away here"
            raise Refused(f"{network} overlaps {' and '.join(taken)} on this host", remedy=remedy)
