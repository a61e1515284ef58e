"""Reads the configuration of `portmap` into values that are already valid (docs/reference/cni.md 4.1, configuration).

The texts of the reference's errors are kept word for word.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from cni.errors import CniError, Code, quoted
from meta.portmap import conditions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from cni.json_object import JsonObject
    from cni.request import Request
    from system.ip import IPAddress

DATA_DIR = "/var/lib/tulle/portmap"
BACKENDS = ("iptables", "nftables")
PROTOCOLS = ("tcp", "udp", "sctp")
HIGHEST_PORT = 65535
HIGHEST_BIT = 31
DEFAULT_BIT = 13
"""The reference's default. Kubernetes uses bits 14 and 15, Calico 20 to 31."""

CHAIN = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_.-]{0,27}")
"""Names of chains that iptables accepts, without those that would need quotes."""


@dataclass(frozen=True, slots=True)
class PortMapping:
    """One published port."""

    protocol: str
    host_port: int
    container_port: int
    # None: every address of both families; unspecified (0.0.0.0, ::): every address of its family
    host_ip: IPAddress | None = None

    def concerns(self, family: int) -> bool:
        """Return whether the mapping is for packets of IP version `family`."""
        return self.host_ip is None or self.host_ip.version == family

    @property
    def only_at(self) -> IPAddress | None:
        """The only host address on which it is published; None: every address."""
        return None if self.host_ip is None or self.host_ip.is_unspecified else self.host_ip


@dataclass(frozen=True, slots=True)
class Settings:
    """What one attachment asks of `portmap`."""

    backend: str  # "iptables", "nftables", or empty: the one that works
    snat: bool  # masquerade at all
    masquerade_all: bool  # masquerade every packet, not only those that need it
    mark_bit: int  # bit of the packet mark that asks for masquerade
    set_mark_chain: str  # chain of another program that sets the mark; empty: ours
    conditions: Mapping[int, tuple[str, ...]]  # per IP version, in the language of the backend; using them chooses one
    mappings: tuple[PortMapping, ...]
    data_dir: str  # where attachments are recorded


@dataclass(frozen=True, slots=True)
class Leftovers:
    """What DEL and GC need to know. A configuration that ADD refused can be removed with it."""

    data_dir: str
    maybe_mapped: bool


def parse(request: Request) -> Settings:
    """Return the settings of `request`. Raises CniError 7 that names the key, its value and what is expected."""
    root = request.config
    chain = _set_mark_chain(root)
    wanted = {4: root.texts("conditionsV4"), 6: root.texts("conditionsV6")}
    return Settings(
        backend=_backend(root, chain, wanted),
        snat=root.flag("snat", default=True),
        masquerade_all=root.flag("masqAll"),
        mark_bit=_mark_bit(root, chain),
        set_mark_chain=chain,
        conditions=wanted,
        mappings=_mappings(root),
        data_dir=data_dir(root),
    )


def parse_leftovers(request: Request) -> Leftovers:
    """Return what an attachment of this configuration may have left. Raises CniError 7 only for `dataDir`."""
    runtime = request.config.raw("runtimeConfig")
    mapped = isinstance(runtime, dict) and any(
        key.casefold() == "portmappings" and value not in (None, []) for key, value in runtime.items()
    )
    return Leftovers(data_dir(request.config), mapped)


def data_dir(root: JsonObject) -> str:
    """Return where attachments are recorded. A relative path would depend on the runtime's working directory."""
    path = root.text("dataDir")
    if path and not path.startswith("/"):
        root.refuse("dataDir", path, "an absolute path")
    return path or DATA_DIR


def _set_mark_chain(root: JsonObject) -> str:
    chain = root.text("externalSetMarkChain")
    if chain and not CHAIN.fullmatch(chain):
        root.refuse("externalSetMarkChain", chain, "the name of an iptables chain, at most 28 characters")
    return chain


def _mark_bit(root: JsonObject, chain: str) -> int:
    bit = root.optional_number("markMasqBit")
    if bit is not None and chain:
        raise CniError(
            Code.INVALID_CONFIG,
            "Cannot specify externalSetMarkChain and markMasqBit",
            "whoever owns that chain says which mark it sets: remove one of the two",
        )
    if bit is not None and not 0 <= bit <= HIGHEST_BIT:
        raise CniError(
            Code.INVALID_CONFIG,
            "MasqMarkBit must be between 0 and 31",
            f'invalid value of "markMasqBit": got {bit}',
        )
    return DEFAULT_BIT if bit is None else bit


def _backend(root: JsonObject, chain: str, wanted: Mapping[int, tuple[str, ...]]) -> str:
    """Return the configured backend, else the one whose options are used, else empty."""
    backend = root.text("backend")
    if root.has("backend") and backend not in BACKENDS:
        raise CniError(
            Code.INVALID_CONFIG,
            f"unrecognized backend {quoted(backend)}",
            'invalid value of "backend": expected "iptables" or "nftables"; absent: what works here',
        )
    options = {"externalSetMarkChain": "iptables"} if chain else {}
    options |= {f"conditionsV{family}": _dialect(wanted[family]) for family in (4, 6) if wanted[family]}
    backend = backend or next(iter(options.values()), "")
    foreign = [key for key, dialect in options.items() if dialect != backend]
    if foreign:
        other = BACKENDS[1 - BACKENDS.index(backend)]
        raise CniError(
            Code.INVALID_CONFIG,
            f"{backend} backend was requested but configuration contains {other}-specific options [{' '.join(foreign)}]",
            f'invalid value of "{foreign[0]}": say it in words of {backend}, or remove it',
        )
    if backend == "nftables":
        for family, words in wanted.items():
            conditions.parse(words, f"conditionsV{family}", family)
    return backend


def _dialect(words: tuple[str, ...]) -> str:
    """Return the language of the conditions, as the reference decides it: only iptables words begin with "-" or "!"."""
    return "iptables" if words[0][:1] in ("-", "!") else "nftables"


def _mappings(root: JsonObject) -> tuple[PortMapping, ...]:
    runtime = root.section("runtimeConfig")
    entries = runtime.sections("portMappings") if runtime else None
    return tuple(dict.fromkeys(_mapping(entry) for entry in entries or ()))


def _mapping(entry: JsonObject) -> PortMapping:
    container_port = _port(entry, "containerPort", "container")
    host_port = _port(entry, "hostPort", "host")
    protocol = (entry.text("protocol") or "tcp").lower()
    if protocol not in PROTOCOLS:
        entry.refuse("protocol", entry.raw("protocol"), f"one of {', '.join(PROTOCOLS)}")
    return PortMapping(protocol, host_port, container_port, entry.address("hostIP"))


def _port(entry: JsonObject, key: str, side: str) -> int:
    number = entry.number(key)
    if not 0 < number <= HIGHEST_PORT:
        raise CniError(
            Code.INVALID_CONFIG,
            f"Invalid {side} port number: {number}",
            f'invalid value of "{entry.where(key)}": expected a whole number between 1 and {HIGHEST_PORT}',
        )
    return number
