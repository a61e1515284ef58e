"""Reads the configuration of `flannel` into values that are already valid (docs/reference/flannel.md 7).

The delegate's own keys are passed on unchanged.
"""

from __future__ import annotations

from dataclasses import dataclass

from cni import results
from lease.file import DEFAULT_PATH

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from cni.json_object import JsonObject
    from cni.request import Request
    from cni.types import Route

DATA_DIR = "/var/lib/cni/flannel"
OURS = ("name", "ipam")
"""Keys of the delegate's configuration that are set here, so the user may not set them."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What one network asks of `flannel`."""

    name: str
    version: str  # cniVersion; empty when there is none
    subnet_file: str  # path of the lease file
    data_dir: str  # where attachments' configurations are saved
    delegate: Mapping[str, Any]  # as written in the configuration
    ipam: Mapping[str, Any]  # as written in the configuration
    routes: tuple[Route, ...]  # those in `ipam`; the lease's follow them
    runtime_config: Mapping[str, Any] | None  # None when there is none


def parse(request: Request) -> Settings:
    """Return the settings of `request`. Raises CniError 7 that names the key, its value and what is expected."""
    root = request.config
    _check_delegate(root.section("delegate"))
    ipam = root.section("ipam")
    return Settings(
        name=request.name,
        version=root.text("cniVersion"),
        subnet_file=_path(root, "subnetFile") or DEFAULT_PATH,
        data_dir=_path(root, "dataDir") or DATA_DIR,
        delegate=root.mapping("delegate"),
        ipam=root.mapping("ipam"),
        routes=results.parse_routes(ipam) if ipam else (),
        runtime_config=root.mapping("runtimeConfig") if root.has("runtimeConfig") else None,
    )


def data_dir(request: Request) -> str:
    """Return the directory of saved configurations. CHECK, DEL and GC read no other key, so no other can stop them."""
    return request.config.text("dataDir") or DATA_DIR


def _check_delegate(delegate: JsonObject | None) -> None:
    if delegate is None:
        return
    if delegate.contains("type") and not delegate.text("type"):
        delegate.refuse("type", delegate.raw("type"), "the name of a plugin, or no such key for bridge")
    for key in OURS:
        if delegate.contains(key):
            remedy = "the network's name is used" if key == "name" else 'write it beside "delegate"'
            delegate.refuse(key, delegate.raw(key), f"no such key: {remedy}")


def _path(section: JsonObject, key: str) -> str:
    """Return an absolute path. A relative one would depend on the runtime's working directory."""
    path = section.text(key)
    if path and not path.startswith("/"):
        section.refuse(key, path, "an absolute path")
    return path
