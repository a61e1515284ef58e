"""Finds what `tulle init` must know of this machine: which runtimes there are and what their settings say.

A runtime is only asked for its version: for other answers Podman would write files. Every path is one of the machine;
`root` is put before it when it is read, so that an image of another machine can be examined.
"""

import json
import os
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cli.inspect import address_owners as claims
from cli.inspect import foreign_files
from cli.inspect.address_owners import SUFFIXES, Claim, Subnet
from kernel import spawn
from kernel.errors import KernelError
from lease.file import DEFAULT_PATH

PROGRAMS = {"podman": "podman", "containerd": "containerd", "nerdctl": "nerdctl", "docker": "dockerd"}
"""Runtimes -> the program whose presence means that they are installed."""

PLACES = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
NETAVARK = tuple(
    f"{folder}/podman/netavark" for folder in ("/usr/local/libexec", "/usr/local/lib", "/usr/libexec", "/usr/lib")
)
STORAGE = "/var/lib/containers/storage/defaultNetworkBackend"
"""Where Podman writes which backend it chose when nobody had set one."""

CNI_CONFIGS = "/etc/cni/net.d"
CNI_PLUGINS = "/opt/cni/bin"
NETWORKS = "/etc/containers/networks"
DROP_INS = "/etc/containers/containers.conf.d"
PODMAN_PLUGINS = ("/usr/local/libexec/cni", "/usr/libexec/cni", "/usr/local/lib/cni", "/usr/lib/cni", "/opt/cni/bin")
"""Where Podman 4 looks for CNI programs by default."""

PACKAGED = "/usr/libexec/tulle/cni"
"""Where Debian's package has tulle's programs. By default no runtime looks there."""

CONTAINERD = "/etc/containerd/config.toml"
CRI = ("io.containerd.grpc.v1.cri", "io.containerd.cri.v1.runtime")
"""The tables in the settings of containerd 1 and 2 that have a table `cni`."""

DRIVERS = tuple(f"/{folder}/netavark" for folder in ("usr/local/libexec", "usr/libexec", "usr/local/lib", "usr/lib"))
"""Where Podman looks for other drivers by default, since version DRIVEN."""

DRIVEN = (4, 5)

DOCKER_SETTINGS = "/etc/docker/daemon.json"
DOCKER_DEFAULTS = "/etc/default/docker"
UNITS = tuple(f"{folder}/systemd/system" for folder in ("/etc", "/run", "/usr/local/lib", "/usr/lib", "/lib"))
"""Where systemd looks for units; an earlier one wins (systemd.unit(5))."""

DOCKER_DROP_IN = "/etc/systemd/system/docker.service.d/zz-tulle.conf"
"""The drop-in that tulle init writes. It is read after all others, so that none replaces its command."""


USUAL = Subnet(DEFAULT_PATH)
"""The lease file of a daemon with one network; nothing is known of the lease."""


class Unreadable(Exception):  # noqa: N818 - a state of the machine
    """A runtime's settings cannot be read. The text names the file."""


@dataclass(frozen=True, slots=True)
class Podman:
    """Podman's settings."""

    backend: str  # "cni" or "netavark"
    plugins: tuple[str, ...] = PODMAN_PLUGINS  # directories of programs, in order
    told: bool = False  # the settings name these directories
    networks: str | None = None  # directory of networks; None: the settings name none
    driven: bool = False
    """Whether it can use other drivers, and would find tulle's."""


@dataclass(frozen=True, slots=True)
class Docker:
    """Docker's settings."""

    command: str = ""  # of docker.service, without our drop-in; empty: no such unit
    options: str = ""  # DOCKER_OPTS
    settings: dict[str, Any] = field(default_factory=dict)  # of daemon.json
    settled: bool = False
    """Whether there is a daemon.json."""


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What there is on this machine."""

    runtimes: frozenset[str]  # by name
    podman: Podman
    containerd_configs: str = CNI_CONFIGS  # directory of configurations
    containerd_plugins: tuple[str, ...] = (CNI_PLUGINS, "/usr/lib/cni")  # directories of programs
    # per directory with a program `bridge`: whether that is ours; in the order in which they are searched
    bridges: dict[str, bool] = field(default_factory=dict)
    # names of the files per directory of configurations, in the order in which containerd reads them
    configs: dict[str, tuple[str, ...]] = field(default_factory=dict)
    docker: Docker = field(default_factory=Docker)
    claims: tuple[Claim, ...] = ()
    """Files that already give out addresses of this host's subnet."""


def look(root: Path = Path("/"), version: tuple[int, ...] = (), wanted: Subnet = USUAL) -> HostFacts:
    """Look at the machine below `root`, also for claims on the subnet `wanted`. `version` is its Podman's.

    Raises Unreadable.
    """
    containerd = _containerd(root)
    podman = _podman(root, version)
    docker = _docker(root)
    drop_in = DOCKER_DROP_IN if under(root, DOCKER_DROP_IN).exists() else ""
    configs = str(containerd.get("conf_dir") or CNI_CONFIGS)
    named = containerd.get("bin_dirs") or [containerd.get("bin_dir")]
    plugins = tuple(str(one) for one in named if one) or (CNI_PLUGINS, "/usr/lib/cni")
    folders = (CNI_CONFIGS, configs, podman.networks or CNI_CONFIGS)
    return HostFacts(
        frozenset(runtime for runtime, program in PROGRAMS.items() if _found(root, program)),
        podman,
        configs,
        plugins,
        {one: ours for one in (*podman.plugins, *plugins, PACKAGED) if (ours := _bridge(root, one)) is not None},
        {one: _names(root, one) for one in folders},
        docker,
        (
            *claims.find(root, folders, podman.networks or NETWORKS, wanted),
            *claims.of_docker(docker.settings, drop_in, DOCKER_SETTINGS, wanted),
        ),
    )


def under(root: Path, path: str) -> Path:
    """Return where a path of the machine is."""
    return root / path.lstrip("/")


def _found(root: Path, program: str) -> bool:
    return any(under(root, f"{place}/{program}").is_file() for place in PLACES)


def _names(root: Path, folder: str) -> tuple[str, ...]:
    found = under(root, folder)
    names = [one.name for one in found.iterdir() if one.suffix in SUFFIXES] if found.is_dir() else []
    return tuple(sorted(names, key=os.fsencode))


def _bridge(root: Path, folder: str) -> bool | None:
    """Return whether a directory's program `bridge` is ours; None if it has none."""
    program = under(root, f"{folder}/bridge")
    if program.is_symlink():
        return program.readlink().parts[-2:] == ("tulle", "launcher")
    return False if program.exists() else None


def _podman(root: Path, version: tuple[int, ...]) -> Podman:
    """Return Podman's settings; a later file wins over an earlier one (containers.conf(5))."""
    files = [
        under(root, "/usr/share/containers/containers.conf"),
        under(root, "/etc/containers/containers.conf"),
        *sorted(under(root, DROP_INS).glob("*.conf")),
    ]
    network: dict[str, Any] = {}
    for one in files:
        network |= _table(_read(one), "network")
    plugins = network.get("cni_plugin_dirs")
    return Podman(
        str(network.get("network_backend") or _chosen(root)),
        tuple(map(str, plugins)) if plugins else PODMAN_PLUGINS,
        bool(plugins),
        str(network["network_config_dir"]) if network.get("network_config_dir") else None,
        _has_driver(root, tuple(network.get("netavark_plugin_dirs") or DRIVERS)) and version >= DRIVEN,
    )


def _has_driver(root: Path, folders: tuple[str, ...]) -> bool:
    """Return whether there is a driver `tulle`. A symbolic link leads into the running machine, not below `root`."""
    return any(os.path.lexists(under(root, f"{folder}/tulle")) for folder in folders)


def podman_version() -> tuple[int, ...]:
    """Return the version of the running machine's Podman, () if there is none."""
    try:
        said = spawn.run(["podman", "--version"]).stdout
    except KernelError:
        return ()
    found = re.search(r"([0-9]+)\.([0-9]+)", said)
    return tuple(map(int, found.groups())) if found else ()


def _chosen(root: Path) -> str:
    """Return the backend that Podman has chosen, or would choose."""
    try:
        return foreign_files.text(under(root, STORAGE)).strip()
    except (OSError, foreign_files.Unfit):
        return "netavark" if any(under(root, one).is_file() for one in NETAVARK) else "cni"


def _containerd(root: Path) -> dict[str, Any]:
    plugins = _table(_read(under(root, CONTAINERD)), "plugins")
    return next((found for one in CRI if (found := _table(_table(plugins, one), "cni"))), {})


def _docker(root: Path) -> Docker:
    try:
        text = foreign_files.text(under(root, DOCKER_SETTINGS))
        settings = json.loads(text) if text.strip() else {}
    except FileNotFoundError:
        return Docker(_command(root), _options(root))
    except (OSError, ValueError, RecursionError) as problem:
        raise Unreadable(f"{DOCKER_SETTINGS} cannot be read: {problem}") from None
    return Docker(_command(root), _options(root), settings if isinstance(settings, dict) else {}, settled=True)


def _command(root: Path) -> str:
    """Return the command by which docker.service starts Docker: the last of its files that has one, without ours."""
    command = ""
    for file in _unit_files(root, "docker.service"):
        for line in re.sub(r"\s*\\\n\s*", " ", _unit_text(file)).splitlines():
            key, _, value = line.partition("=")
            command = value.strip() if key.strip() == "ExecStart" else command
    return command


def _unit_files(root: Path, name: str) -> list[Path]:
    """Return a unit's file and its drop-ins in the order in which they are read.

    Of equal names the first directory's counts.
    """
    folders = [under(root, folder) for folder in UNITS]
    unit = next((folder / name for folder in folders if (folder / name).is_file()), None)
    found = {file.name: file for folder in reversed(folders) for file in (folder / f"{name}.d").glob("*.conf")}
    return [unit, *(found[each] for each in sorted(found) if each != Path(DOCKER_DROP_IN).name)] if unit else []


def _unit_text(file: Path) -> str:
    try:
        return foreign_files.text(file)
    except (OSError, foreign_files.Unfit) as problem:
        raise Unreadable(f"{file} cannot be read: {problem}") from None


def _options(root: Path) -> str:
    try:
        lines = foreign_files.text(under(root, DOCKER_DEFAULTS)).splitlines()
    except FileNotFoundError:
        return ""
    except (OSError, foreign_files.Unfit) as problem:
        raise Unreadable(f"{DOCKER_DEFAULTS} cannot be read: {problem}") from None
    return " ".join(line.strip() for line in lines if line.strip().startswith("DOCKER_OPTS"))


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(foreign_files.text(path))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as problem:
        raise Unreadable(f"{path} cannot be read: {problem}") from None


def _table(document: dict[str, Any], name: str) -> dict[str, Any]:
    found = document.get(name)
    return found if isinstance(found, dict) else {}
