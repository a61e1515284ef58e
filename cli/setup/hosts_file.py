"""Decides what makes a host a member of a network: the hosts file that `tulle join` writes, and tulled's settings.

The hosts file depends on the typed words alone, so that the same command writes the same file on every host. A file
that says anything else was edited by a person, and is refused.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv4Network

from overlay.backends import registry
from overlay.config import network
from overlay.config.documents import Section
from overlay.errors import Refused
from overlay.stores import file

HOSTS = "/etc/tulle/hosts.json"
NETWORK = "10.42.0.0/16"
BACKEND = {"Type": registry.DEFAULT}
EDIT = "keep editing it by hand, the same on every host, or start over with --replace"
NUMERIC = re.compile(r"[0-9.:]+")
HOSTNAME = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9_]([A-Za-z0-9_-]*)(\.[A-Za-z0-9_-]+)*\.?")


@dataclass(frozen=True, slots=True)
class Named:
    """A host as it was typed."""

    address: IPv4Address
    name: str = ""  # if it was typed by name


def addresses(words: Sequence[str], resolve: Callable[[str], str]) -> tuple[Named, ...]:
    """Return the hosts; `resolve` turns names into addresses.

    Raises Refused, and OSError for a name without address.
    """
    found = tuple(_named(word, resolve) for word in words)
    plain = [one.address for one in found]
    twice = next((one for one in plain if plain.count(one) > 1), None)
    if twice is not None:
        raise Refused(f"{twice} is named twice", remedy="name every host once")
    return found


def _named(word: str, resolve: Callable[[str], str]) -> Named:
    name = "" if NUMERIC.fullmatch(word) else word
    if name and not HOSTNAME.fullmatch(name):
        remedy = "name every host by the IPv4 address the others reach it at, with blanks between"
        raise Refused(f"{word} is neither an IPv4 address nor a host name", remedy=remedy)
    try:
        address = IPv4Address(resolve(name) if name else word)
    except AddressValueError:
        raise Refused(f"{word} is no IPv4 address", remedy="an address is four numbers up to 255: 192.0.2.11") from None
    if address.is_loopback or address.is_multicast or not int(address):
        told = f"{name} resolves to {address} here" if name else str(address)
        raise Refused(
            f"{told}, which no other host reaches", remedy="name every host by the address the others reach it at"
        )
    return Named(address, name)


def hosts(cidr: str, named: Sequence[Named], before: str = "", *, ours: bool = False) -> str:
    """Return the text of the hosts file: the n-th host has the network's n-th subnet.

    It may add hosts to the file `before`.

    In a file that is `ours`, as an earlier call wrote it, more may change, but no host may be left out or change its
    place. Raises Refused for an impossible network, one that contains a host's own address, or is too small, and for a
    change that is not allowed.
    """
    wanted = {"Network": cidr, "Backend": BACKEND}
    pool = network.from_section(Section(wanted, where="--network")).ipv4
    inside = next((one for one in named if one.address in pool.network), None)
    if inside is not None:
        what = f"{cidr} has the address of host {inside.address} in it: the hosts' own network cannot be that of containers"
        raise Refused(what, remedy="give a range that nobody uses with --network")
    last = pool.first + (len(named) - 1) * pool.step
    if last > pool.last:
        raise Refused(f"{cidr} has no subnets for {len(named)} hosts", remedy="give a larger one with --network")
    subnets = [IPv4Network((pool.first + place * pool.step, pool.length)) for place in range(len(named))]
    given = {one.address: subnet for one, subnet in zip(named, subnets, strict=True)}
    if before:
        _refuse_another(file.parse(before, HOSTS), wanted, given, ours=ours)
    entries = ",\n".join(f"   {_entry(one, subnet)}" for one, subnet in zip(named, subnets, strict=True))
    return f'{{"Network": {json.dumps(wanted)},\n "Hosts": [\n{entries}\n ]}}\n'


def _entry(host: Named, subnet: IPv4Network) -> str:
    name = {"Name": host.name} if host.name else {}
    return json.dumps({"PublicIP": str(host.address), "Subnet": str(subnet), **name})


def _refuse_another(
    held: file.Hosts, wanted: Mapping[str, object], given: Mapping[IPv4Address, IPv4Network], *, ours: bool
) -> None:
    """Raise Refused for what would remove a host, or give it another subnet: its containers would lose the network."""
    same = json.loads(held.network_text) == wanted
    if not same and not ours:
        raise Refused(f"was edited by hand: its network is not {json.dumps(wanted)}", where=HOSTS, remedy=EDIT)
    known = [host.public_ip for host in held.hosts]
    order = f"tulle join {' '.join(map(str, [*known, *(one for one in given if one not in known)]))}"
    for host in held.hosts if same else ():
        moved = host.public_ip in given and host.subnet.ipv4 != given[host.public_ip]
        if moved:
            what = f"{host.public_ip} has {host.subnet.ipv4} and would get {given[host.public_ip]}"
            raise Refused(what, where=HOSTS, remedy=f"keep the order: {order} (or start over with --replace)")
        if host.public_ip not in given and (not ours or len(given) < len(known)):
            what = f"has the host {host.public_ip}, which is not named"
            remedy = f"name all hosts: {order}; or take it out of the file by hand on every host"
            raise Refused(what, where=HOSTS, remedy=remedy)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What tulled's settings should say."""

    must: Mapping[str, str]  # decides which network
    usual: Mapping[str, str]  # counts where nobody has set anything else
    never: tuple[str, ...] = ()  # names that contradict those

    @property
    def all(self) -> dict[str, str]:
        """Both together."""
        return {**self.must, **self.usual}


def settings(text: str, wanted: Wanted, where: str, mine: Mapping[str, str]) -> str:
    """Return the text of an EnvironmentFile with variables set: after a comment that shows it, else at the end.

    Nothing else is changed, except what an earlier call wrote (`mine`) and is not wanted any more. Raises Refused where
    something else already decides which network it is.
    """
    gone = {name: value for name, value in mine.items() if wanted.all.get(name) != value}
    lines = [line for line in text.splitlines() if _assigned(line) not in gone.items()]
    for line in lines:
        name, value = _assigned(line)
        if name in wanted.never or (name in wanted.must and value != wanted.must[name]):
            asked = " ".join(f"{each}={one}" for each, one in wanted.must.items())
            told = name if "PASSWORD" in name else f"{name}={value}"
            what = f"has {told}, which does not go with {asked}"
            raise Refused(
                what, where=where, remedy="take that line out if it is old, or let this replace it with --replace"
            )
    for name, value in wanted.all.items():
        if not any(_assigned(line)[0] == name for line in lines):
            shown = [place for place, one in enumerate(lines, start=1) if re.match(rf"#\s*{name}=", one)]
            lines.insert(shown[-1] if shown else len(lines), f"{name}={value}")
    return "".join(f"{one}\n" for one in lines)


def decisive(text: str, wanted: Wanted) -> dict[str, str]:
    """Return the assignments that decide which network it is. Replacing it removes them, whoever wrote them."""
    assigned = dict(map(_assigned, text.splitlines()))
    return {name: value for name, value in assigned.items() if name in (*wanted.must, *wanted.never)}


def _assigned(line: str) -> tuple[str, str]:
    """Return name and value of a line NAME=VALUE, without quotes; an empty name for any other line."""
    name, separator, value = line.strip().partition("=")
    if not separator or not name.isidentifier():
        return "", ""
    return name, value.strip().strip("\"'")
