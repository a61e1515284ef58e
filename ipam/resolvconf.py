"""Reads a resolv.conf, which host-local passes on as the container's resolver settings (docs/reference/cni.md 3.5).

Must not judge the values: whoever writes the container's file does.
"""

from __future__ import annotations

import os

from cni.errors import CniError, Code
from cni.types import Dns

LARGEST = 1024 * 1024


def read(path: str) -> Dns:
    """Return the settings the file at `path` holds. Raises CniError 5 when it cannot be read; a FIFO counts as empty."""
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
    """Read the lines of resolv.conf(5) as the reference does.

    The last `domain` counts and all `search` and `options` add up; comments and keywords without a value are skipped.
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
