"""Reads the configuration of `flannel` into values that are already valid (docs/reference/flannel.md 7).

The delegate's own keys travel untouched, whatever they are. Must not know the lease's content, the disk or the delegate.
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
"""What the delegate's configuration gets from here and may not bring along."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What one network asks of `flannel`; `version` is empty when none is written, `delegate` and `ipam` are as written.

    `routes` are those of `ipam`, which the lease's come behind; `runtime_config` is None when there is none.
    """

    name: str
    version: str
    subnet_file: str
    data_dir: str
    delegate: Mapping[str, Any]
    ipam: Mapping[str, Any]
    routes: tuple[Route, ...]
    runtime_config: Mapping[str, Any] | None


def parse(request: Request) -> Settings:
    """Return the settings of `request`. Raises CniError 7 naming the key, its value and what is expected."""
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
    """Return where attachments are remembered: all that CHECK, DEL and GC need, so that nothing else can stop them."""
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
    """Return an absolute path; a relative one would depend on where the runtime happens to run."""
    path = section.text(key)
    if path and not path.startswith("/"):
        section.refuse(key, path, "an absolute path")
    return path
