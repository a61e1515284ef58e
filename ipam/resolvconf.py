"""Reads a resolv.conf, which host-local passes on as the container's resolver settings (docs/reference/cni.md 3.5).

The values are not checked: whoever writes the container's file does that.
"""

from __future__ import annotations

import os

from cni.errors import CniError, Code
from cni.types import Dns

LARGEST = 1024 * 1024


def read(path: str) -> Dns:
    """Return the settings in the file at `path`. Raises CniError 5 if it cannot be read. A FIFO counts as empty."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        try:
            content = os.read(descriptor, LARGEST)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise CniError(
            Code.IO_FAILURE, f"cannot read {path}: {error.strerror}", 'correct "ipam.resolvConf" or leave it out'
        ) from error
    return parse(content.decode(errors="replace"))


def parse(text: str) -> Dns:
    """Return the settings in the lines of a resolv.conf(5), as the reference reads them.

    The last `domain` counts; all `search` and `options` are joined. Comments and keywords without a value are skipped.
    """
    nameservers: list[str] = []
    domain = ""
    search: list[str] = []
    options: list[str] = []
    for line in text.split("\n"):
        match line.split():
            case [first, *_] if first.startswith(("#", ";")):
                continue
            case ["nameserver", server, *_]:
                nameservers.append(server)
            case ["domain", name, *_]:
                domain = name
            case ["search", *names]:
                search += names
            case ["options", *names]:
                options += names
    return Dns(tuple(nameservers), domain, tuple(search), tuple(options))
