"""Finds out what `tulle init` must know of this machine: which runtimes there are and what their settings say.

Only looks. Must not decide what to write, nor ask a runtime anything but its version: Podman writes files with every other answer.
Every path is one of the machine; `root` is put before it where it is read, so that a staged tree can be looked at.
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
"""Runtimes -> what is looked for."""

PLACES = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
NETAVARK = tuple(
    f"{folder}/podman/netavark" for folder in ("/usr/local/libexec", "/usr/local/lib", "/usr/libexec", "/usr/lib")
)
STORAGE = "/var/lib/containers/storage/defaultNetworkBackend"
"""Where Podman wrote which backend it chose when nobody had said one."""

CNI_CONFIGS = "/etc/cni/net.d"
CNI_PLUGINS = "/opt/cni/bin"
NETWORKS = "/etc/containers/networks"
DROP_INS = "/etc/containers/containers.conf.d"
PODMAN_PLUGINS = ("/usr/local/libexec/cni", "/usr/libexec/cni", "/usr/local/lib/cni", "/usr/lib/cni", "/opt/cni/bin")
"""Where Podman 4 looks for CNI programs unless it is told."""

PACKAGED = "/usr/libexec/tulle/cni"
"""Where Debian's package has tulle's programs, in nobody's way: no runtime looks there unless it is told."""

CONTAINERD = "/etc/containerd/config.toml"
CRI = ("io.containerd.grpc.v1.cri", "io.containerd.cri.v1.runtime")
"""The settings' tables of containerd 1 and 2 that have one of `cni`."""

DRIVERS = tuple(f"/{folder}/netavark" for folder in ("usr/local/libexec", "usr/libexec", "usr/local/lib", "usr/lib"))
"""Where Podman looks for drivers of others unless it is told, since DRIVEN."""

DRIVEN = (4, 5)

DOCKER_SETTINGS = "/etc/docker/daemon.json"
DOCKER_DEFAULTS = "/etc/default/docker"
UNITS = tuple(f"{folder}/systemd/system" for folder in ("/etc", "/run", "/usr/local/lib", "/usr/lib", "/lib"))
"""Where systemd looks for units, the first first (systemd.unit(5))."""

DOCKER_DROP_IN = "/etc/systemd/system/docker.service.d/zz-tulle.conf"
"""What tulle init writes: read after every drop-in of others, so that nothing takes its command back."""


USUAL = Subnet(DEFAULT_PATH)
"""The lease file of a daemon that keeps one network, nothing known of the lease."""


class Unreadable(Exception):  # noqa: N818 - a state of the machine
    """A runtime's settings that cannot be read; the text names the file."""


@dataclass(frozen=True, slots=True)
class Podman:
    """Podman's side: its backend (cni or netavark), where it keeps networks and finds programs.

    `plugins` are the folders in order; `told` when the settings name them. `networks` is None where they name no folder.
    """

    backend: str
    plugins: tuple[str, ...] = PODMAN_PLUGINS
    told: bool = False
    networks: str | None = None
    driven: bool = False
    """Whether it takes drivers of others, and would find tulle's."""


@dataclass(frozen=True, slots=True)
class Docker:
    """Docker's side: the command of docker.service without our part (empty: no such unit), DOCKER_OPTS, and daemon.json."""

    command: str = ""
    options: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    settled: bool = False
    """Whether there is a daemon.json."""


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What there is: runtimes by name, containerd's folders, files beside which ours would stand, programs by folder.

    `bridges` tells of each plugin folder with a program `bridge` whether that is ours, in the order they are searched. `configs` are the names in a folder
    of configurations, in the order containerd reads them.
    """

    runtimes: frozenset[str]
    podman: Podman
    containerd_configs: str = CNI_CONFIGS
    containerd_plugins: tuple[str, ...] = (CNI_PLUGINS, "/usr/lib/cni")
    bridges: dict[str, bool] = field(default_factory=dict)
    configs: dict[str, tuple[str, ...]] = field(default_factory=dict)
    docker: Docker = field(default_factory=Docker)
    claims: tuple[Claim, ...] = ()
    """Files that give addresses of this host's subnet to some book already."""


def look(root: Path = Path("/"), version: tuple[int, ...] = (), wanted: Subnet = USUAL) -> HostFacts:
    """Look at the machine below `root`, whose Podman has this version, for claims on the subnet `wanted` too; raises Unreadable."""
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
    """Return where a path of the machine lies."""
    return root / path.lstrip("/")


def _found(root: Path, program: str) -> bool:
    return any(under(root, f"{place}/{program}").is_file() for place in PLACES)


def _names(root: Path, folder: str) -> tuple[str, ...]:
    found = under(root, folder)
    names = [one.name for one in found.iterdir() if one.suffix in SUFFIXES] if found.is_dir() else []
    return tuple(sorted(names, key=os.fsencode))


def _bridge(root: Path, folder: str) -> bool | None:
    """Tell whether a folder's `bridge` is ours; None when it has none."""
    program = under(root, f"{folder}/bridge")
    if program.is_symlink():
        return program.readlink().parts[-2:] == ("tulle", "launcher")
    return False if program.exists() else None


def _podman(root: Path, version: tuple[int, ...]) -> Podman:
    """Read Podman's settings, the later file over the earlier (containers.conf(5))."""
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
    """Tell whether there is a driver `tulle`; a link leads into the machine, not into the staged tree."""
    return any(os.path.lexists(under(root, f"{folder}/tulle")) for folder in folders)


def podman_version() -> tuple[int, ...]:
    """Ask the running machine's Podman, () where there is none."""
    try:
        said = spawn.run(["podman", "--version"]).stdout
    except KernelError:
        return ()
    found = re.search(r"([0-9]+)\.([0-9]+)", said)
    return tuple(map(int, found.groups())) if found else ()


def _chosen(root: Path) -> str:
    """Give the backend Podman has chosen, or would."""
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
    """Return how docker.service starts Docker, by the last one of its files that says so; ours does not count."""
    command = ""
    for file in _unit_files(root, "docker.service"):
        for line in re.sub(r"\s*\\\n\s*", " ", _unit_text(file)).splitlines():
            key, _, value = line.partition("=")
            command = value.strip() if key.strip() == "ExecStart" else command
    return command


def _unit_files(root: Path, name: str) -> list[Path]:
    """Return a unit's file and its drop-ins in the order they are read; of files of one name the first folder's counts."""
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
