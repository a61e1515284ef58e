"""Where container runtimes look for CNI configurations and programs, and what is there.

A runtime's own settings may name other directories; `--conf-dir` and `--bin-dir` say so.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli.inspect import detect, foreign_files

CONF_DIR = detect.CNI_CONFIGS


@dataclass(frozen=True, slots=True)
class Runtime:
    """One runtime with its defaults."""

    name: str
    conf_dir: str  # directory of configurations
    bin_dirs: tuple[str, ...]  # directories of programs, in the order in which they are searched
    driver_dirs: tuple[str, ...] = ()
    """Where it would find our network driver, which needs no configuration."""


KNOWN = {
    "podman": Runtime(
        "Podman",
        CONF_DIR,
        (*detect.PODMAN_PLUGINS, detect.PACKAGED),
        detect.DRIVERS,
    ),
    "containerd": Runtime("containerd", CONF_DIR, ("/opt/cni/bin", "/usr/lib/cni")),
    "nerdctl": Runtime("nerdctl", CONF_DIR, ("/opt/cni/bin",)),
}
"""By the program whose presence means that the runtime is installed."""


@dataclass(frozen=True, slots=True)
class Conflist:
    """One configuration, of a list or of one program."""

    path: str  # of the file
    name: str = ""  # of the network
    version: str = ""
    plugins: tuple[dict[str, Any], ...] = ()  # their configurations
    problem: str = ""  # why it cannot be read, or empty

    @property
    def lease_files(self) -> frozenset[str]:
        """The lease files that its plugins use."""
        return frozenset(str(each["subnetFile"]) for each in self.plugins if each.get("subnetFile"))

    @property
    def wires_by_bridge(self) -> bool:
        """Whether every attachment has a link on the host with our bridge program's alias."""
        return bool(self.lease_files) and [one.get("type") for one in self.plugins[:1]] == ["bridge"]


@dataclass(frozen=True, slots=True)
class RuntimeConfig:
    """What one runtime finds."""

    runtime: Runtime
    conflists: tuple[Conflist, ...]
    programs: dict[str, str]  # path by program; "": not found
    driver: str = ""
    """Path of our network driver, if the runtime finds it."""

    @property
    def command(self) -> str:
        """The runtime's name for `tulle init`."""
        return next((name for name, one in KNOWN.items() if one == self.runtime), "")


def installed(conf_dir: str, bin_dirs: Sequence[str]) -> tuple[Runtime, ...]:
    """Return the runtimes to look at: the one that these directories describe, else those installed here.

    Raises NotADirectoryError for a directory that does not exist.
    """
    for named in (*filter(None, [conf_dir]), *bin_dirs):
        if not Path(named).is_dir():
            raise NotADirectoryError(f"there is no directory {named}")
    if conf_dir or bin_dirs:
        return (Runtime("the runtime", conf_dir or CONF_DIR, tuple(bin_dirs) or ("/opt/cni/bin",)),)
    return tuple(runtime for program, runtime in KNOWN.items() if shutil.which(program))


def look(runtime: Runtime) -> RuntimeConfig:
    """Return a runtime's configurations, in the order in which it reads them."""
    try:
        files = sorted(one for one in Path(runtime.conf_dir).iterdir() if one.suffix in {".conf", ".conflist", ".json"})
    except OSError:
        files = []
    conflists = tuple(map(read, files))
    kinds = {kind for each in conflists if each.lease_files for plugin in each.plugins for kind in _types(plugin)}
    programs = {kind: _found(kind, runtime.bin_dirs) for kind in sorted(kinds)}
    return RuntimeConfig(runtime, conflists, programs, _found("tulle", runtime.driver_dirs))


def read(path: Path) -> Conflist:
    """Return one configuration, of one program or of a list."""
    try:
        document = foreign_files.document(path)
        plugins = document.get("plugins", [document])
        name, version = str(document.get("name", "")), str(document.get("cniVersion", ""))
        return Conflist(str(path), name, version, tuple(dict(one) for one in plugins))
    except (OSError, ValueError, TypeError, AttributeError) as problem:
        return Conflist(str(path), problem=f"it cannot be read: {problem}")


def _types(plugin: dict[str, Any]) -> list[str]:
    """Return the program of a plugin and those that it runs itself."""
    inner = [plugin.get("ipam"), plugin.get("delegate")]
    kinds = [plugin.get("type"), *(each.get("type") for each in inner if isinstance(each, dict))]
    return [str(kind) for kind in kinds if kind]


def _found(kind: str, directories: Sequence[str]) -> str:
    return next((path for one in directories if "/" not in kind and _is_file(path := f"{one}/{kind}")), "")


def _is_file(path: str) -> bool:
    """Return whether a file exists; False for a name that no file can have."""
    try:
        return Path(path).is_file()
    except OSError:  # the name is too long
        return False
