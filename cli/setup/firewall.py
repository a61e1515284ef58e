"""Finds the firewall of this host, and the command that lets the tunnel's packets in.

It does not see firewalls between the hosts, nor rules that accept the packets already.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from kernel import spawn
from kernel.errors import KernelError
from kernel.firewall import iptables
from system.ip import IPAddress

UFW = "/etc/ufw/ufw.conf"
FEW = 4
"""Up to so many hosts each has a command of its own; with more, the port is opened for all."""


def lines(ports: Sequence[int], hosts: Sequence[IPAddress]) -> list[str]:
    """Return the commands that open the UDP ports for these hosts in this host's firewall; none without a known one."""
    return [line for port in ports for line in _lines(_kind(), port, hosts if len(hosts) <= FEW else ())]


def _lines(kind: str, port: int, hosts: Sequence[IPAddress]) -> list[str]:
    match kind.split():
        case ["ufw"]:
            return [f"ufw allow from {host} to any port {port} proto udp" for host in hosts] or [
                f"ufw allow {port}/udp"
            ]
        case ["firewalld"]:
            return [f"firewall-cmd --permanent --add-port={port}/udp && firewall-cmd --reload"]
        case ["iptables"]:
            source = [f" -s {host}" for host in hosts] or [""]
            return [f"iptables -I INPUT{each} -p udp --dport {port} -j ACCEPT" for each in source]
        case ["nft", family, table, chain]:
            source = [f" ip saddr {host}" for host in hosts] or [""]
            return [f"nft insert rule {family} {table} {chain}{each} udp dport {port} accept" for each in source]
    return []


def _kind() -> str:
    """Return the firewall's name, or `nft FAMILY TABLE CHAIN` for an unknown chain; "" for none."""
    if _enabled_ufw():
        return "ufw"
    chains = _dropping()
    if any(words[1] == "firewalld" for words in chains):
        return "firewalld"
    try:
        if iptables.policy(iptables.saved(4), "filter", "INPUT") == "DROP":
            return "iptables"
    except KernelError:
        return ""
    return f"nft {' '.join(chains[0])}" if chains else ""


def _enabled_ufw() -> bool:
    try:
        return "ENABLED=yes" in Path(UFW).read_text(encoding="utf-8", errors="replace").split()
    except OSError:
        return False


def _dropping() -> list[tuple[str, str, str]]:
    """Return the base chains of nftables for input that drop by policy, and firewalld's, which drops by a rule."""
    try:
        listed = json.loads(spawn.run(["nft", "-j", "list", "chains"]).stdout)["nftables"]
    except (KernelError, ValueError, LookupError):
        return []
    chains = [one["chain"] for one in listed if "chain" in one]
    return [
        (str(one["family"]), str(one["table"]), str(one["name"]))
        for one in chains
        if one.get("hook") == "input"
        and (one.get("policy") == "drop" or one["table"] == "firewalld")
        and one["table"] != "filter"
    ]
