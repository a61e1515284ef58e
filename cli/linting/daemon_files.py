"""Judges the daemon's own files with its own parsers: hosts file, network config, environment file, lease file.

A parser stops at its first error. So the refused value is replaced by a correct one and the parser is called again,
until it finds nothing more.
"""

import io
import json
import re
from collections.abc import Callable, Iterator, Mapping
from ipaddress import ip_network
from itertools import count
from typing import Any

from cli.linting import keys
from cli.linting.finding import Finding, Place, copied, is_object
from cli.linting.keys import member
from cli.nearest import nearest
from lease import file as lease_file
from overlay.backends import registry
from overlay.config import documents, network, settings
from overlay.config.settings import OPTIONS, PREFIXES, UNUSED, Option
from overlay.errors import Refused
from overlay.stores import file

ROUNDS = 200
"""After so many mistakes a person corrects some and asks again."""
NAMED = re.compile(r"([A-Za-z0-9_.\[\]]+) is ")
"""How the parsers name a place."""
ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)")
ELSEWHERE = frozenset({"NOTIFY_SOCKET", "PATH", "HOME", "LANG", "TZ", "GRPC_DNS_RESOLVER", "WIREGUARD_KEY_FILE"})
"""Variables that are not the daemon's but that a service may have."""


def of_network(document: dict[str, Any]) -> Iterator[Finding]:
    """Yield the mistakes in a network config."""
    yield from keys.of_network(document)
    yield from _refusals(copied(document), _check_network)


def of_hosts(document: dict[str, Any]) -> Iterator[Finding]:
    """Yield the mistakes in a hosts file."""
    yield from keys.of_hosts(document)
    yield from _refusals(copied(document), _check_hosts)
    yield from _inside(document)


def of_environment(text: str) -> Iterator[Finding]:
    """Yield the mistakes in the daemon's environment file (systemd.exec(5)), without the values of secrets."""
    given: dict[str, str] = {}
    for number, line in enumerate(re.sub(r"\\\n", "", text).splitlines(), start=1):
        bare = line.strip()
        if not bare or bare[0] in "#;":
            continue
        found = ASSIGNMENT.fullmatch(bare)
        if found is None:
            yield Finding(
                (f"line {number}",), "no assignment", "write NAME=VALUE, without blanks around = and without export"
            )
            continue
        name, value = found[1], found[2].strip().strip("\"'")
        yield from _unknown(name)
        wrong = list(_value(name, value))
        yield from wrong
        given |= {} if wrong else {name: value}
    try:
        settings.parse([], given, io.StringIO())
    except Refused as refused:
        yield Finding((), refused.what, refused.remedy)


def of_lease(text: str) -> Iterator[Finding]:
    """Yield what is wrong with a lease file."""
    try:
        lease_file.parse(text)
    except lease_file.Unavailable as wrong:
        yield Finding((), wrong.reason, wrong.remedy)


def is_environment(text: str) -> bool:
    """Return whether a text looks like the daemon's environment file: one name is, or is near, a variable of it."""
    names = [
        found[1] for line in text.splitlines() if (found := re.match(r"\s*(?:export\s+)?#?\s*([A-Z_0-9]+)\s*=", line))
    ]
    known = _variables()
    ours = any(name.startswith(PREFIXES) or nearest(name, known) for name in names[:200])
    return ours and not is_lease(text) and not text.lstrip().startswith(("{", "["))


def is_lease(text: str) -> bool:
    """Return whether a text looks like a lease file."""
    return re.search(r"^FLANNEL_(SUBNET|NETWORK|MTU|IPMASQ|IPV6_SUBNET|IPV6_NETWORK)=", text, re.MULTILINE) is not None


def _variables() -> dict[str, Option | None]:
    """Return every variable of the daemon with its option; None for one without effect."""
    known: dict[str, Option | None] = {name: option for option in OPTIONS for name in option.variables}
    return {**{prefix + flag.replace("-", "_").upper(): None for prefix in PREFIXES for flag in UNUSED}, **known}


def _unknown(name: str) -> Iterator[Finding]:
    known = _variables()
    if name in known or name in ELSEWHERE:
        return
    near = nearest(name, known)
    if near or name.upper().startswith(PREFIXES):
        remedy = f"did you mean {near}?" if near else "tulled --help lists the flags; --ip-masq is TULLED_IP_MASQ"
        yield Finding((name,), "tulled knows no such variable", remedy)


def _value(name: str, value: str) -> Iterator[Finding]:
    option = _variables().get(name)
    if option is None or not value:
        return
    for word in option.split(value):
        try:
            option.read(word)
        except ValueError as wrong:
            yield Finding((name,), "its value cannot be used", str(wrong))


def _check_network(document: dict[str, Any]) -> None:
    registry.require_known(network.from_section(documents.Section(document)))


def _check_hosts(document: dict[str, Any]) -> None:
    found = file.parse(json.dumps(document), "")
    registry.require_known(found.config)
    for host in found.hosts:
        registry.derive(found.config, host.subnet, host.public_ip, host.public_ipv6)


def _refusals(document: dict[str, Any], check: Callable[[dict[str, Any]], None]) -> Iterator[Finding]:
    """Yield each error of a check; the refused value is replaced by a correct one before the check is called again."""
    fresh = count(1)
    told: set[Place] = set()
    for _ in range(ROUNDS):
        try:
            check(document)
        except Refused as refused:
            place = _place(refused.what)
            if "Hosts" in document and place[:1] == ("Backend",):
                place = ("Network", *place)
            if place in told:
                return
            told.add(place)
            yield Finding(place, _short(refused.what), refused.remedy)
            if not place or not _mend(document, place, next(fresh)):
                return
        else:
            return


def _place(what: str) -> Place:
    found = NAMED.match(what)
    steps = re.findall(r"[^.\[\]]+|\[[0-9]+\]", found[1]) if found else []
    return tuple(int(step[1:-1]) if step.startswith("[") else step for step in steps)


def _short(what: str) -> str:
    """Return an error without the place, which is printed beside it."""
    found = NAMED.match(what)
    return f"got {what[found.end() :]}" if found else what


def _mend(document: dict[str, Any], place: Place, number: int) -> bool:
    """Put a correct value in the place of a refused one. Return False if nobody can know it."""
    holder: Any = document
    for step in place[:-1]:
        holder = holder[step] if isinstance(step, int) else member(holder, step)
    key = str(place[-1])
    if not is_object(holder):
        return False
    for name in [name for name in holder if name.casefold() == key.casefold()]:
        del holder[name]
    right = _right(document, key, number)
    if right is not None:
        holder[key] = right
    return True


def _right(document: Mapping[str, Any], key: str, number: int) -> Any:
    """Return a value that a member may have; None for one that may be absent."""
    match key:
        case "PublicIP":
            return f"198.18.{number // 250}.{number % 250 + 1}"
        case "PublicIPv6":
            return f"2001:db8::{number:x}"
        case "Subnet" | "IPv6Subnet":
            return _subnet(document, number, 4 if key == "Subnet" else 6)
        case "Network":
            return (
                {"Network": "10.42.0.0/16", "Backend": {"Type": registry.DEFAULT}}
                if "Hosts" in document
                else "10.42.0.0/16"
            )
        case "IPv6Network":
            return "fd00:42::/48"
        case "Backend":
            return {"Type": registry.DEFAULT}
        case "Type":
            return registry.DEFAULT
        case "Hosts":
            return []
    return None


def _subnet(document: Mapping[str, Any], number: int, version: int) -> str | None:
    """Return a subnet that no host of the file has."""
    section = documents.Section(document).section("Network")
    config = network.from_section(section) if section is not None else None
    pool = None if config is None else config.ipv4 if version == 4 else config.ipv6
    if pool is None:
        return None
    hosts = member(document, "Hosts")
    taken = {str(member(one, "Subnet" if version == 4 else "IPv6Subnet")) for one in hosts if is_object(one)}
    for place in range(number, number + len(taken) + ROUNDS):
        subnet = str(ip_network((pool.last - place * pool.step, pool.length)))
        if subnet not in taken:
            return subnet
    return None


def _inside(document: dict[str, Any]) -> Iterator[Finding]:
    """Yield each host whose own address is in the network of the containers."""
    section, hosts = member(document, "Network"), member(document, "Hosts")
    try:
        config = network.from_section(documents.Section(section if is_object(section) else {}))
    except Refused:
        return
    for index, host in enumerate(hosts if isinstance(hosts, list) else ()):
        try:
            public = documents.Section(host).ipv4("PublicIP") if is_object(host) else None
        except Refused:
            continue
        if public is not None and public in config.ipv4.network:
            yield Finding(
                ("Hosts", index, "PublicIP"),
                f"{public} lies in {config.ipv4.network}, the network of the containers",
                "give the network a range that the hosts do not use",
            )
