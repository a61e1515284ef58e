"""Decides what each runtime needs to find the network `tulle`: files, what to know, and what to run next.

cli.setup.address_books decides who may have the subnet. Versions and paths are those of docs/reference/runtimes.md; the
cniVersion is 1.0.0, because Podman 4 refuses 1.1.0.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from cli.inspect import address_owners
from cli.inspect.address_owners import CNI, Claim
from cli.inspect.detect import CNI_CONFIGS, DOCKER_DROP_IN, DOCKER_SETTINGS, DROP_INS, NETWORKS, HostFacts
from cli.setup import address_books, docker
from cli.setup.managed_files import File
from cni.request import IFNAME_BYTES
from lease.file import DEFAULT_PATH, Lease, Unavailable

NAME = "tulle"
DOCKER = "docker"
BRIDGE = address_owners.BRIDGE
"""The only bridge of the subnet, whoever starts containers."""

DROP_IN = f"{DROP_INS}/50-tulle.conf"
FIRST = ("10-", "00-", "00-00-")
LAST = ("10-", "99-", "zz-")
"""Beginnings of names to try, for a file that must be the first in its directory, or must not."""


KEEP_SOURCE = (
    "echo TULLED_KEEP_SOURCE=true >> /etc/default/tulled    # or tulled --keep-source: else netavark masquerades",
    "systemctl restart tulled",
)


class Impossible(Exception):  # noqa: N818 - a state of the machine
    """What was asked for is impossible here. The text says why and what to do."""


@dataclass(frozen=True, slots=True)
class RuntimePlan:
    """What one runtime needs."""

    runtime: str
    files: tuple[File, ...]  # to write
    notes: tuple[str, ...] = ()  # what to know
    next: tuple[str, ...] = ()  # what to run next


@dataclass(frozen=True, slots=True)
class RuntimeRequest:
    """What the decision is based on."""

    machine: HostFacts
    ours: tuple[str, ...]  # paths that are ours already
    conflist: str  # text of the conflist
    lease: Callable[[], Lease]
    """Reads the lease. Only the network of netavark contains it."""

    first: bool = False  # the configuration must be the first in its directory
    lease_path: str = DEFAULT_PATH  # path of the lease file
    keeps_source: bool = False
    """Whether tulled's settings have --keep-source."""
    name: str = NAME
    """Name of the network. Where tulled has several, the lease file tells which."""

    @property
    def bridge(self) -> str:
        """The only bridge of the subnet."""
        return f"{self.name}0" if len(self.name) < IFNAME_BYTES else f"{self.name[: IFNAME_BYTES - 1]}0"


@dataclass(frozen=True, slots=True)
class _Conflist:
    """The configuration for CNI."""

    files: tuple[File, ...]  # to write; empty where one exists
    notes: tuple[str, ...]  # what to know
    network: str = NAME  # name of its network


def home(runtime: str, wish: RuntimeRequest) -> RuntimePlan:
    """Return what `runtime` needs. Raises Impossible, also where another address book than its own has the subnet."""
    if problem := address_books.conflict([runtime], wish.machine):
        raise Impossible(problem)
    return HOMES[runtime](wish)


def found(machine: HostFacts) -> list[str]:
    """Return the runtimes of this machine that may share the subnet, in the table's order. Docker must be named."""
    return [one for one in HOMES if one in machine.runtimes and one != DOCKER]


def _containerd(wish: RuntimeRequest) -> RuntimePlan:
    folder = wish.machine.containerd_plugins[0]
    found = _conflist(wish.machine.containerd_configs, wish)
    programs = _programs(wish.machine.containerd_plugins, wish.machine)
    remedy = (
        f"set bin_dir in /etc/containerd/config.toml to {_own(wish.machine) or 'the folder of those'}, or bring them to {folder} "
        f"(make install CNI_BIN={folder}, or Debian's package tulle-cni)"
    )
    return RuntimePlan(
        "containerd",
        found.files,
        (*found.notes, *_elsewhere(programs, remedy)),
        ("ctr run --rm --cni IMAGE NAME    # takes the first configuration of the folder",),
    )


def _nerdctl(wish: RuntimeRequest) -> RuntimePlan:
    found = _conflist(CNI_CONFIGS, wish)
    return RuntimePlan("nerdctl", found.files, found.notes, (f"nerdctl run --rm -it --network {found.network} IMAGE",))


def _podman(wish: RuntimeRequest) -> RuntimePlan:
    if wish.machine.podman.backend == "netavark":
        return _driver(wish) if wish.machine.podman.driven else _netavark(wish)
    podman = wish.machine.podman
    found = _conflist(podman.networks or CNI_CONFIGS, wish)
    notes = found.notes
    programs = _programs(podman.plugins, wish.machine)
    own = _own(wish.machine)
    files = [*found.files]
    if own and (DROP_IN in wish.ours or not (programs or podman.told)):
        files.append(File(DROP_IN, _drop_in(own, podman.plugins)))
    else:
        remedy = f"put {own or 'the folder of those'} first in cni_plugin_dirs of /etc/containers/containers.conf"
        notes = (*notes, *_elsewhere(programs, remedy))
    return RuntimePlan("podman", tuple(files), notes, (f"podman run --rm -it --network {found.network} IMAGE",))


def _driver(wish: RuntimeRequest) -> RuntimePlan:
    """Return the plan for our driver: Podman's own command makes the network, so there is no file to write."""
    other = f" -o lease={wish.lease_path} --interface-name {wish.bridge}" if wish.lease_path != DEFAULT_PATH else ""
    return RuntimePlan(
        "podman",
        (),
        next=(
            f"podman network create -d tulle{other} {wish.name}    # once",
            f"podman run --rm -it --network {wish.name} IMAGE",
        ),
    )


def _netavark(wish: RuntimeRequest) -> RuntimePlan:
    path = f"{wish.machine.podman.networks or NETWORKS}/{wish.name}.json"
    return RuntimePlan(
        "netavark",
        (File(path, network(wish.lease(), wish.name, wish.bridge)),),
        ("the lease is written down in this file: run tulle init again when tulled has taken another one",),
        (
            *(() if wish.keeps_source else KEEP_SOURCE),
            f"podman run --rm -it --network {wish.name} IMAGE",
        ),
    )


def _docker(wish: RuntimeRequest) -> RuntimePlan:
    """Return the plan for Docker's own bridge and address book. No other runtime of this host may have the subnet."""
    here = wish.machine.docker
    by_unit = here.command != "" and DOCKER_SETTINGS not in wish.ours
    path = DOCKER_DROP_IN if by_unit else DOCKER_SETTINGS
    lease = _told(wish) if by_unit else wish.lease()
    if lease is not None and lease.subnet is None:
        raise Impossible("this host's lease has no IPv4 subnet, and Docker's bridge takes no other")
    if lease is not None and not by_unit and here.settled and path not in wish.ours:
        raise Impossible(f"{path} is not of tulle init and stays as it is; add to it by hand: {docker.lines(lease)}")
    others = replace(here, settings={}) if DOCKER_SETTINGS in wish.ours else here
    if taken := next(docker.obstacles(others), None):
        raise Impossible(f"{taken}, and dockerd takes that once: take it out there, then run tulle init docker again")
    content = docker.unit(here, wish.lease_path) if by_unit or lease is None else docker.settings(lease)
    notes = (*_DOCKER_NOTES, *(() if by_unit else _DOCKER_WRITTEN))
    return RuntimePlan(DOCKER, (File(path, content),), notes, tuple(_docker_next(path, lease)))


def _told(wish: RuntimeRequest) -> Lease | None:
    """Return the lease, if there is one yet."""
    try:
        return wish.lease()
    except Unavailable:
        return None


_DOCKER_NOTES = ("the whole subnet is Docker's then: of Podman and containerd nobody may have addresses of it",)
_DOCKER_WRITTEN = (
    "the lease is written down in this file: run tulle init docker again when tulled has taken another one",
)


def _docker_next(path: str, lease: Lease | None) -> Iterator[str]:
    """Yield the commands in their order: only one bridge may have the gateway, and tulled keeps BRIDGE up with it."""
    yield f"echo TULLED_BRIDGE=docker0 >> {_SETTINGS}    # or tulled --bridge docker0: two bridges with one gateway reach nobody"
    if lease is None or not lease.ipmasq:
        yield f"echo TULLED_IP_MASQ=true >> {_SETTINGS}    # or tulled --ip-masq: else Docker masquerades"
    yield "systemctl restart tulled"
    yield f"ip link delete {BRIDGE}    # where it is there; containers on it go first"
    yield f"{_RESTART[path]}    # stops its containers, unless it has live-restore"
    yield "docker run --rm -it IMAGE    # on the network bridge, Docker's own"


_SETTINGS = "/etc/default/tulled"
_RESTART = {
    DOCKER_DROP_IN: "systemctl daemon-reload && systemctl restart docker",
    DOCKER_SETTINGS: "service docker restart",
}
AFTER = {path: f"; next: {command}" for path, command in _RESTART.items()}
"""What to run after a file has been removed."""


def network(lease: Lease, name: str, bridge: str) -> str:
    """Return Podman's network for netavark, which assigns the addresses itself.

    See docs/reference/runtimes.md C.3 and C.4.
    """
    pairs = zip(lease.subnets, lease.gateways, strict=True)
    document = {
        "name": name,
        "id": hashlib.sha256(name.encode()).hexdigest(),
        "driver": "bridge",
        "network_interface": bridge,
        "subnets": [{"subnet": str(subnet), "gateway": str(gateway)} for subnet, gateway in pairs],
        "ipv6_enabled": any(subnet.version == 6 for subnet in lease.subnets),
        "internal": False,
        "dns_enabled": False,
        "options": {"mtu": str(lease.mtu)},
        "ipam_options": {"driver": "host-local"},
    }
    return json.dumps(document, indent=2) + "\n"


def _conflist(folder: str, wish: RuntimeRequest) -> _Conflist:
    """Return the conflist with a name that gives it its place; none if a person put one in."""
    if there := _by_hand(folder, wish):
        note = f"{there.path} goes by this lease already, so nothing is written beside it"
        return _Conflist((), (note,), there.network or wish.name)
    file = f"-{wish.name}.conflist"
    mine = next((path for path in wish.ours if path.startswith(f"{folder}/") and path.endswith(file)), "")
    others = [name for name in wish.machine.configs.get(folder, ()) if f"{folder}/{name}" != mine]
    name = mine.rpartition("/")[2] or _free(folder, others, wish)
    leads = not others or name.encode() < others[0].encode()
    if wish.first and not leads:
        raise Impossible(f"{folder}/{others[0]} comes before {name}: tulle init --undo, then tulle init --first")
    notes = (
        ()
        if leads
        else (f"containerd takes {folder}/{others[0]}, the first; tulle init --first would put tulle there",)
    )
    return _Conflist((File(f"{folder}/{name}", wish.conflist),), notes, wish.name)


def _by_hand(folder: str, wish: RuntimeRequest) -> Claim | None:
    """Return the configuration in the directory that uses the lease and is not ours."""
    found = (one for one in wish.machine.claims if one.book == CNI and one.path not in wish.ours)
    return next((one for one in found if one.path.rpartition("/")[0] == folder), None)


def _free(folder: str, others: list[str], wish: RuntimeRequest) -> str:
    for start in FIRST if wish.first else LAST:
        name = f"{start}{wish.name}.conflist"
        leads = not others or name.encode() < others[0].encode()
        if name not in others and (leads == wish.first or not others):
            return name
    raise Impossible(f"{folder}: no name for tulle's configuration is free; move {others[0]} away")


def _programs(folders: tuple[str, ...], machine: HostFacts) -> bool:
    """Return whether the first `bridge` in these directories is ours."""
    return next((machine.bridges[folder] for folder in folders if folder in machine.bridges), False)


def _own(machine: HostFacts) -> str:
    """Return the first directory with a `bridge` of ours, "" for none."""
    return next((folder for folder, ours in machine.bridges.items() if ours), "")


def _elsewhere(ours: bool, remedy: str) -> tuple[str, ...]:  # noqa: FBT001 - the one fact it speaks of
    if ours:
        return ()
    return (f"the program bridge this runtime finds is not tulle's: {remedy}",)


def _drop_in(own: str, folders: tuple[str, ...]) -> str:
    order = json.dumps([own, *(folder for folder in folders if folder != own)])
    return f"# Written by tulle init: tulle's programs come before others of the same names.\n[network]\ncni_plugin_dirs = {order}\n"


HOMES: Mapping[str, Callable[[RuntimeRequest], RuntimePlan]] = {
    "podman": _podman,
    "netavark": _netavark,
    "containerd": _containerd,
    "nerdctl": _nerdctl,
    DOCKER: _docker,
}
"""Runtimes by the name that a person types. `netavark` is Podman, whatever its settings say."""
