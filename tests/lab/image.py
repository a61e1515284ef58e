"""Writes a container image without a registry: busybox from this machine, a page to serve, in the archive form every runtime loads.

The form is Docker's (`docker save`): a layer, its configuration, and a manifest that names both. Must not know who loads it.
"""

import hashlib
import json
import os
import platform
import tarfile
from io import BytesIO
from pathlib import Path

from tests.lab.world import tool

IMAGE = "localhost/busybox:1"
PAGE = "from the other host"
APPLETS = ("cat", "httpd", "ip", "ping", "sh", "sleep", "wget")
MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


def write(target: Path) -> Path:
    """Write the image's archive; loaded, it is called `IMAGE`, and its default command waits for ever (a pod's pause)."""
    layer = _layer()
    configuration = {
        "architecture": MACHINES[platform.machine()],
        "os": "linux",
        "config": {"Env": ["PATH=/bin"], "Cmd": ["sleep", "100000"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [IMAGE], "Layers": ["layer.tar"]}]
    with tarfile.open(target, "w") as archive:
        _file(archive, "layer.tar", layer)
        _file(archive, "config.json", json.dumps(configuration).encode())
        _file(archive, "manifest.json", json.dumps(manifest).encode())
    return target


def _layer() -> bytes:
    """Return the root file system: busybox, the names it answers to, root, and a page."""
    buffer = BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as layer:
        for folder in ("bin", "proc", "sys", "dev", "tmp", "etc", "www"):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            layer.addfile(entry)
        layer.add(os.path.realpath(tool("busybox")), "bin/busybox")
        for applet in APPLETS:
            link = tarfile.TarInfo(f"bin/{applet}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            layer.addfile(link)
        _file(layer, "etc/passwd", b"root:x:0:0:root:/:/bin/sh\n")
        _file(layer, "www/index.html", PAGE.encode())
    return buffer.getvalue()


def _file(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    archive.addfile(entry, BytesIO(content))
