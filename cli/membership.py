"""Decides what makes a host a member of a network: the hosts file that `tulle join` writes, and tulled's settings.

Pure: texts in, texts out. The hosts file follows from the words alone, so that the same command writes the same file on every host;
one that says anything else is a person's and refused. Must not read or write a file.
"""

import json
import re
from collections.abc import Mapping, Sequence
from ipaddress import AddressValueError, IPv4Address, IPv4Network

from overlay import network
from overlay.documents import Section
from overlay.errors import Refused
from overlay.stores import file

HOSTS = "/etc/tulle/hosts.json"
NETWORK = "10.42.0.0/16"
BACKEND = {"Type": "vxlan"}
EDIT = "it was edited by hand: go on so, and copy it to every host"


def addresses(words: Sequence[str]) -> tuple[IPv4Address, ...]:
    """Read the hosts' addresses; raises Refused."""
    try:
        found = tuple(map(IPv4Address, words))
    except AddressValueError as problem:
        raise Refused(str(problem), remedy="name every host by the IPv4 address the others reach it at") from None
    twice = next((one for one in found if found.count(one) > 1), None)
    if twice is not None:
        raise Refused(f"{twice} is named twice", remedy="name every host once")
    return found


def hosts(cidr: str, named: Sequence[IPv4Address], before: str = "") -> str:
    """Write the hosts file: the n-th host named has the network's n-th subnet. It may add hosts to the file `before`.

    Raises Refused for a network that cannot be, or too small, and when a host of `before` is missing or would get another subnet.
    """
    wanted = {"Network": cidr, "Backend": BACKEND}
    pool = network.from_section(Section(wanted, where="--network")).ipv4
    last = pool.first + (len(named) - 1) * pool.step
    if last > pool.last:
        raise Refused(f"{cidr} has no subnets for {len(named)} hosts", remedy="give a larger one with --network")
    subnets = [IPv4Network((pool.first + place * pool.step, pool.length)) for place in range(len(named))]
    given = dict(zip(named, subnets, strict=True))
    if before:
        _refuse_another(file.parse(before, HOSTS), wanted, given)
    entries = ",\n".join(f'   {{"PublicIP": "{address}", "Subnet": "{subnet}"}}' for address, subnet in given.items())
    return f'{{"Network": {json.dumps(wanted)},\n "Hosts": [\n{entries}\n ]}}\n'


def _refuse_another(held: file.Hosts, wanted: Mapping[str, object], given: Mapping[IPv4Address, IPv4Network]) -> None:
    """Refuse what would take a host out, or from one subnet to another: its containers would lose the network."""
    if json.loads(held.network_text) != wanted:
        raise Refused(f"has another network than {json.dumps(wanted)}", where=HOSTS, remedy=EDIT)
    for host in held.hosts:
        if host.public_ip not in given:
            remedy = "name all hosts, or take it out of the file by hand on every host"
            raise Refused(f"has the host {host.public_ip}, which is not named", where=HOSTS, remedy=remedy)
        if host.subnet.ipv4 != given[host.public_ip]:
            what = f"{host.public_ip} has {host.subnet.ipv4} and would get {given[host.public_ip]}"
            raise Refused(what, where=HOSTS, remedy=f"name the hosts in the order they joined; or {EDIT}")


def settings(text: str, wanted: Mapping[str, str], where: str) -> str:
    """Set variables in the text of an EnvironmentFile, each behind the comment that shows it if there is one, else at the end.

    Nothing else is changed. Raises Refused where one of them is set already, to something else.
    """
    lines = text.splitlines()
    for name, value in wanted.items():
        line = f"{name}={value}"
        there = [one for one in lines if one.partition("=")[0].strip() == name]
        if there and there[-1] != line:
            raise Refused(
                f"has {there[-1]}, not {line}", where=where, remedy="change it there yourself, or take it out"
            )
        if not there:
            shown = [place for place, one in enumerate(lines, start=1) if re.match(rf"#\s*{name}=", one)]
            lines.insert(shown[-1] if shown else len(lines), line)
    return "".join(f"{one}\n" for one in lines)
