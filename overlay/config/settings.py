"""The settings of tulled: one table of options, each with its flag, environment variables and help.

Flags are written as in Go (`-flag` or `--flag`, a bare boolean is true; docs/reference/flannel.md 4.1). A flag wins
over TULLED_NAME, which wins over FLANNELD_NAME; empty variables do not count. Unlike in flanneld, a bad value always
ends the start. The environment is handed in, not read here.
"""

import argparse
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv6Address
from typing import Any, TextIO

from lease.file import DEFAULT_PATH
from overlay.config import option_types
from overlay.errors import Refused
from overlay.stores.etcd import keys
from overlay.stores.etcd.keys import Endpoint

PREFIXES = ("TULLED_", "FLANNELD_")
KEY_PATH = "/var/lib/tulle/wireguard.key"
STORES = ("sqlite", "file")
DEFAULT_STORE = "sqlite:/var/lib/tulle/network.db"

_USER = re.compile(".*@", re.DOTALL)
"""What stands before a host in a URL: a user and a password, which no error may repeat, whatever characters they have."""


@dataclass(frozen=True, slots=True)
class EtcdNetwork:
    """Where one network's keys are, and its lease file where several networks are kept."""

    prefix: str
    """What the keys of the network begin with."""
    file: str = ""
    """Its lease file; empty for that of --subnet-file."""


@dataclass(frozen=True, slots=True)
class Settings:
    """All options, checked; None or empty means not given. Field names are the flags' with underscores."""

    store: str
    etcd_endpoints: tuple[Endpoint, ...]
    etcd_prefix: tuple[EtcdNetwork, ...]
    etcd_cafile: str
    etcd_certfile: str
    etcd_keyfile: str
    etcd_username: str
    etcd_password: str = field(repr=False)
    network: str
    net_config: str
    vni: int | None
    port: int | None
    iface: tuple[str, ...]
    iface_regex: tuple[str, ...]
    iface_can_reach: str
    public_ip: str
    public_ipv6: str
    subnet_file: str
    subnet_lease_renew_margin: int
    ip_masq: bool
    ip_masq_fully_random_disable: bool
    tunnel_guard: bool
    tunnel_allow: tuple[str, ...]
    wireguard_key_file: str
    ip_masq_exclude: tuple[str, ...]
    keep_source: bool
    iptables_resync: int
    iptables_forward_rules: bool
    ip_blackhole_route: bool
    bridge: str
    allow_overlap: bool
    healthz_ip: str
    healthz_port: int
    log_format: str
    v: int
    ignored: tuple[str, ...] = ()
    """What was given of UNUSED."""

    @property
    def each(self) -> "tuple[Settings, ...]":
        """Return the settings of every network by itself."""
        return tuple(self._alone(tract) for tract in self.etcd_prefix) or (self,)

    def _alone(self, tract: EtcdNetwork) -> "Settings":
        return replace(self, etcd_prefix=(tract,), subnet_file=tract.file or self.subnet_file)

    @property
    def prefix(self) -> str:
        """What the keys of the first, or only, network begin with."""
        return self.etcd_prefix[0].prefix if self.etcd_prefix else keys.DEFAULT_PREFIX

    @property
    def name(self) -> str:
        """What the network is called: its prefix in etcd, or the store."""
        return self.prefix if self.store == "etcd" else self.store

    @property
    def store_kind(self) -> str:
        """What stands before the colon of --store."""
        return self.store.partition(":")[0]

    @property
    def store_path(self) -> str:
        """What stands behind it."""
        return self.store.partition(":")[2]


def _store(text: str) -> str:
    kind, _, path = text.partition(":")
    if text != "etcd" and (kind not in STORES or not path):
        raise ValueError("write etcd, sqlite:PATH or file:PATH")
    return text


def _tract(text: str) -> EtcdNetwork:
    prefix, named, file = text.partition("=/")
    if not text.isprintable() or not keys.join(prefix).strip("/.") or file.endswith("/"):
        example = f"{keys.DEFAULT_PREFIX}, or {keys.DEFAULT_PREFIX}={DEFAULT_PATH} for each of several"
        raise ValueError(f"write a path like {example}")
    return EtcdNetwork(prefix, f"/{file}" if named else "")


def _listed(text: str) -> list[str]:
    """Cut a variable's list of networks; a comma in a single prefix is part of it."""
    words = text.split(",")
    return words if all("=/" in word for word in words) else [text]


@dataclass(frozen=True, slots=True)
class Option:
    """One option: how its text becomes a value (ValueError says what to write), its default, and the line in --help."""

    flag: str
    """The name of the flag, without dashes."""
    read: Callable[[str], Any]
    """Converts its text; raises ValueError saying what to write."""
    default: Any
    """The value when it is not given."""
    metavar: str
    """The name of the value in --help."""
    about: str
    """The line in --help."""
    repeated: bool = False
    """Whether the flag may be given several times."""
    split: Callable[[str], list[str]] = field(default=lambda text: [text])
    """Cuts a variable's text into the elements of a repeated flag."""
    also: tuple[str, ...] = ()
    """A name of its own by which the environment may give it, after the others."""
    secret: bool = False
    """Whether its value must not appear in an error."""

    @property
    def field(self) -> str:
        """Name of the field in Settings."""
        return self.flag.replace("-", "_")

    @property
    def variables(self) -> tuple[str, ...]:
        """Environment variables that give it, the winning one first."""
        return (*(prefix + self.field.upper() for prefix in PREFIXES), *self.also)


# fmt: off
OPTIONS = (
    Option("store",                         _store,                         DEFAULT_STORE, "STORE",  "where leases live: etcd (implied by any --etcd-... flag), sqlite:PATH shared by the daemons of one machine, or file:PATH, a JSON file that is the same on every host"),
    Option("etcd-endpoints",                keys.endpoints,           (),           "URLS",    "members of etcd, with commas between (default http://127.0.0.1:4001,http://127.0.0.1:2379)"),
    Option("etcd-prefix",                   _tract,                         (),           "PATH",    f"what the network's keys in etcd begin with (default {keys.DEFAULT_PREFIX}); PATH=LEASEFILE, repeated, keeps several networks", repeated=True, split=_listed),
    Option("etcd-cafile",                   str,                            "",           "FILE",    "PEM certificates that https members are checked against; the system's without it"),
    Option("etcd-certfile",                 str,                            "",           "FILE",    "PEM certificate to show to etcd, together with --etcd-keyfile"),
    Option("etcd-keyfile",                  str,                            "",           "FILE",    "its PEM key"),
    Option("etcd-username",                 str,                            "",           "NAME",    "user of etcd's own authentication"),
    Option("etcd-password",                 str,                            "",           "WORD",    "their password; others may read a command line: prefer TULLED_ETCD_PASSWORD", secret=True),
    Option("network",                       str,                            "",           "CIDR",    "network of all hosts, for a sqlite store that has none yet"),
    Option("net-config",                    str,                            "",           "FILE",    "flannel network config (JSON) instead of --network"),
    Option("vni",                           option_types.number(1, 16777215),    None,         "N",       "VXLAN network identifier stored with --network (default 1)"),
    Option("port",                          option_types.number(0, 65535),       None,         "N",       "UDP port stored with --network (default 0: the kernel's, 8472)"),
    Option("iface",                         str,                            (),           "NAME|IP", "interface other hosts reach; may be repeated, the first that exists is taken", repeated=True),
    Option("iface-regex",                   option_types.regex,                  (),           "REGEX",   "the same by regular expression over addresses, then names; may be repeated", repeated=True),
    Option("iface-can-reach",               option_types.address(),              "",           "IP",      "the interface the kernel would use towards this address"),
    Option("public-ip",                     option_types.address(IPv4Address),   "",           "IP",      "address other hosts send to, when it is not the interface's own (NAT)"),
    Option("public-ipv6",                   option_types.address(IPv6Address),   "",           "IP",      "the same for IPv6"),
    Option("subnet-file",                   str,                            DEFAULT_PATH, "FILE",    "lease file for the CNI programs"),
    Option("subnet-lease-renew-margin",     option_types.number(1, 1439),        60,           "MINUTES", "renew this long before a lease ends"),
    Option("ip-masq",                       option_types.boolean,                False,        "",        "masquerade what containers send out of the network"),
    Option("ip-masq-fully-random-disable",  option_types.boolean,                False,        "",        "let the kernel keep source ports when masquerading"),
    Option("ip-masq-exclude",               option_types.cidr,                   (),           "CIDR",    "with --ip-masq: what containers send there keeps its source address; may be repeated", repeated=True),
    Option("keep-source",                   option_types.boolean,                False,        "",        "let what containers send to the network out first in POSTROUTING, before other programs (Podman's netavark) masquerade it"),
    Option("tunnel-guard",                  option_types.boolean,                True,         "",        "drop packets of our VXLAN port and VNI from addresses that are no current peer's"),
    Option("tunnel-allow",                  option_types.cidr,                   (),           "CIDR",    "let these send to the tunnel too (peers behind NAT); may be repeated", repeated=True),
    Option("wireguard-key-file",            str,                            KEY_PATH,     "FILE",    "private key of the backend wireguard, made at the first start and kept (also WIREGUARD_KEY_FILE)", also=("WIREGUARD_KEY_FILE",)),
    Option("iptables-resync",               option_types.number(1, 3600),        5,            "SECONDS", "compare the firewall's rules this often"),
    Option("iptables-forward-rules",        option_types.boolean,                True,         "",        "accept the network's traffic in the forward chain"),
    Option("ip-blackhole-route",            option_types.boolean,                False,        "",        "discard what goes to addresses of our subnet that no link has"),
    Option("bridge",                        option_types.link_name,              "",           "NAME",    "keep this bridge up with the gateway address, so that services can bind before the first container"),
    Option("allow-overlap",                 option_types.boolean,                False,        "",        "start though this host has an address or a route in the network's range; what is there is out of reach then, here or for containers"),
    Option("healthz-ip",                    option_types.address(),              "127.0.0.1",  "IP",      "address the health server listens on; 0.0.0.0 is all of this host's, for everybody who reaches one"),
    Option("healthz-port",                  option_types.number(0, 65535),       0,            "N",       "port of /healthz and /readyz; 0 is off"),
    Option("log-format",                    option_types.choice("text", "json"), "text",     "FORMAT",  "text (key=value) or json, one line an event, on stderr"),
    Option("v",                             option_types.number(0, 9),           0,            "LEVEL",   "1 or more also logs what changes nothing"),
)
UNUSED = {
    "kube-subnet-mgr":              "leases live in a store here, not in Kubernetes' nodes; must be false",
    "kube-api-url":                 "as above",
    "kubeconfig-file":              "as above",
    "kube-annotation-prefix":       "as above",
    "net-config-path":              "as above: --net-config FILE is for a sqlite store",
    "set-node-network-unavailable": "as above",
    "vmodule":                      "-v N is for all of the program",
    "log_backtrace_at":             "a defect is logged with its trace anyhow",
}
"""Flannel's flags that mean nothing here, and why: they are accepted, and the log says that they do nothing."""
# fmt: on


def parse(argv: Sequence[str], environ: Mapping[str, str], out: TextIO) -> Settings:
    """Read all options; raises Refused for a bad one, SystemExit(0) after writing --help to `out`."""
    parser = command_line(out)
    known, unknown = parser.parse_known_args([_doubled(word) for word in argv])
    _refuse_unknown(unknown)
    given = vars(known)
    values = {option.field: _value(option, given[option.field], environ) for option in OPTIONS}
    if values["store"] is DEFAULT_STORE and any(values[name] for name in values if name.startswith("etcd_")):
        values["store"] = "etcd"
    unused = {flag: text for flag in UNUSED if (text := _unused(flag, given, environ)) is not None}
    if unused.get("kube-subnet-mgr", "false").lower() not in option_types.FALSE:
        remedy = "leave it out and give --store, or run flanneld where Kubernetes keeps the leases"
        raise Refused("Kubernetes' subnet manager is not part of tulled", where="--kube-subnet-mgr", remedy=remedy)
    settings = Settings(**values, ignored=tuple(f"--{flag}" for flag in unused))
    _refuse_contradictions(settings)
    return settings


def _refuse_unknown(words: Sequence[str]) -> None:
    """Refuse what no option takes, naming the option alone: what stands behind it may be a password."""
    if not words:
        return
    flag = next((word.partition("=")[0] for word in words if word.startswith("--")), "")
    if not flag:
        raise Refused("a word that belongs to no flag", remedy="see tulled --help")
    for secret in (f"--{one.flag}" for one in OPTIONS if one.secret):
        if flag.startswith(secret):  # the word itself may follow without a blank
            raise Refused(f"there is no flag that begins with {secret} and goes on", remedy=f"write {secret}=WORD")
    near = _near(flag, [f"--{one.flag}" for one in OPTIONS])
    raise Refused(f"there is no {flag}", remedy=f"did you mean {near}?" if near else "see tulled --help")


def strangers(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that are called like ours and that nothing reads, each with what to do; no value is in it."""
    flags = (*(one.field for one in OPTIONS), *(flag.replace("-", "_") for flag in UNUSED))
    known, own = [flag.upper() for flag in flags], PREFIXES[0]
    unread = [name for name in sorted(environ) if name.upper().startswith(own) and name.removeprefix(own) not in known]
    near = {name: _near(name.upper().removeprefix(own), known) for name in unread}
    return {name: f"did you mean {own}{one}?" if one else "see tulled --help" for name, one in near.items()}


def _near(word: str, known: Sequence[str]) -> str:
    from difflib import get_close_matches  # noqa: PLC0415 - only who mistyped pays for it

    return next(iter(get_close_matches(word[:100], known, 1, 0.7)), "")


def _unused(flag: str, given: Mapping[str, Any], environ: Mapping[str, str]) -> str | None:
    name = flag.replace("-", "_")
    text: str | None = given[name]
    return text or next((environ[each] for prefix in PREFIXES if environ.get(each := prefix + name.upper())), text)


def _value(option: Option, given: "str | list[str] | None", environ: Mapping[str, str]) -> Any:
    if given is not None:
        words, source = (given if isinstance(given, list) else [given]), f"--{option.flag}"
    else:
        source = next((name for name in option.variables if environ.get(name)), "")
        words = option.split(environ[source]) if source else []
    if not words:
        return option.default
    values = [_read(option, word, source) for word in words]
    return tuple(values) if option.repeated else values[-1]


def _read(option: Option, word: str, source: str) -> Any:
    try:
        return option.read(word)
    except ValueError as problem:
        shown = "its value" if option.secret else repr(_USER.sub("***@", word))
        raise Refused(f"{shown} cannot be used", where=source, remedy=str(problem)) from None


def _refuse_contradictions(settings: Settings) -> None:
    founding = [name for name in ("network", "net_config", "vni", "port") if getattr(settings, name) not in ("", None)]
    flags = ", ".join("--" + name.replace("_", "-") for name in founding)
    if settings.ip_masq_exclude and not settings.ip_masq:
        raise Refused("--ip-masq-exclude without --ip-masq", remedy="give --ip-masq too, or leave both out")
    if founding and settings.store_kind != "sqlite":
        remedy = "put it at PREFIX/config in etcd" if settings.store == "etcd" else 'the file itself has the "Network"'
        raise Refused(f"{flags} has no use with --store {settings.store}", remedy=remedy)
    if settings.network and settings.net_config:
        raise Refused("--network and --net-config both describe the network", remedy="give one of them")
    if not settings.network and {"vni", "port"} & set(founding):
        raise Refused(f"{flags} without --network", remedy="give --network CIDR too, or write them in the config file")
    _refuse_half_an_etcd(settings)


def _refuse_half_an_etcd(settings: Settings) -> None:
    """Refuse etcd flags that mean nothing: beside another store, or one half of a pair."""
    given = [option.flag for option in OPTIONS if option.flag.startswith("etcd-") and getattr(settings, option.field)]
    if given and settings.store != "etcd":
        raise Refused(f"--{given[0]} has no use with --store {settings.store}", remedy="give --store etcd, or neither")
    if bool(settings.etcd_certfile) != bool(settings.etcd_keyfile):
        raise Refused("--etcd-certfile and --etcd-keyfile are one pair", remedy="give both; a CA alone needs neither")
    if settings.etcd_password and not settings.etcd_username:
        raise Refused("--etcd-password without --etcd-username", remedy="give both")
    _refuse_unclear_networks(settings)


def _refuse_unclear_networks(settings: Settings) -> None:
    """Refuse several networks that share what each must have for itself, naming both."""
    tracts = settings.etcd_prefix
    unnamed = [tract.prefix for tract in tracts if not tract.file]
    if len(tracts) > 1 and unnamed:
        raise Refused(f"--etcd-prefix {unnamed[0]} names no lease file", remedy="write PREFIX=LEASEFILE for each")
    if len(unnamed) < len(tracts) and settings.subnet_file != DEFAULT_PATH:
        raise Refused("--subnet-file beside --etcd-prefix PREFIX=LEASEFILE", remedy="leave --subnet-file out")
    if len(tracts) > 1 and settings.bridge:
        raise Refused("--bridge has one name, but there are several networks", remedy="leave it out")
    prefixes: dict[str, EtcdNetwork] = {}
    files: dict[str, EtcdNetwork] = {}
    for tract in tracts:
        other = prefixes.setdefault(keys.join(tract.prefix), tract)
        if other is not tract:
            raise Refused(f"--etcd-prefix {other.prefix} and {tract.prefix} are one network", remedy="name it once")
        other = files.setdefault(keys.join(tract.file), tract)
        if other is not tract:
            what = f"--etcd-prefix {other.prefix} and {tract.prefix} have the same lease file {tract.file}"
            raise Refused(what, remedy="give each its own")


class _Parser(argparse.ArgumentParser):
    """argparse, but a mistake is raised like every other refusal and help goes where it is told."""

    out: TextIO

    def error(self, message: str) -> Any:
        raise Refused(message, remedy="see tulled --help")

    def print_help(self, file: Any = None) -> None:
        super().print_help(file or self.out)


def command_line(out: TextIO) -> argparse.ArgumentParser:
    """Return the parser of the command line; help goes to `out`."""
    parser = _Parser(
        prog="tulled",
        usage="tulled [--flag VALUE]...",
        description="Takes this host's subnet of the overlay and keeps the tunnels to all other hosts right.",
        epilog="Every flag can come from the environment: --ip-masq is TULLED_IP_MASQ, or else FLANNELD_IP_MASQ. "
        "Exit code: 0 on a signal, 1 for a failure worth a restart, 2 for a setting or store that must be corrected.",
        allow_abbrev=False,
    )
    parser.out = out
    for option in OPTIONS:
        _add(parser, option)
    unused = parser.add_argument_group("accepted because flanneld has them, but without effect")
    for flag, why in UNUSED.items():
        unused.add_argument(f"--{flag}", nargs="?", const="true", metavar="WORD", help=why)
    return parser


def _add(parser: _Parser, option: Option) -> None:
    shown = "true" if option.default is True else option.default
    default = f" (default {shown})" if option.default not in ("", None, (), False) else ""
    about = (option.about + default).replace("%", "%%")
    if option.read is option_types.boolean:
        parser.add_argument(f"--{option.flag}", nargs="?", const="true", metavar="true|false", help=about)
    elif option.repeated:
        parser.add_argument(f"--{option.flag}", action="append", metavar=option.metavar, help=about)
    else:
        parser.add_argument(f"--{option.flag}", metavar=option.metavar, help=about)


def _doubled(word: str) -> str:
    """Give Go's `-flag` its second dash; negative numbers and a lone dash stay."""
    return f"-{word}" if re.match("-[a-z]", word) and word != "-h" else word
