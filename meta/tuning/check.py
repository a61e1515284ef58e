"""Compares the container with the settings. CHECK ends at the first difference (docs/reference/cni.md 4.4, CHECK).

Parameters are compared word by word: the kernel separates by tabs what was written with blanks. A parameter that can
only be written is not compared.
"""

from __future__ import annotations

from dataclasses import fields
from typing import NoReturn

from cni.errors import CniError, Code
from kernel import sysctl
from kernel.errors import KernelError
from meta.tuning import wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kernel.netlink.handle import Handle, Link
    from meta.tuning.config import Settings

KEYS = {"all_multicast": "allmulti", "queue": "txQLen"}
"""Keys of the configuration that have another name here."""


def check(settings: Settings, link: Link | None, container: Handle) -> None:
    """Raise CniError 102 unless the container is as `settings` say. Without properties no `link` is needed."""
    for each in settings.sysctls:
        try:
            found = sysctl.read(each.path, container.namespace)
        except KernelError as refused:
            if refused.errno in wire.UNREADABLE:
                continue
            raise
        if found is None or found.split() != each.value.split():
            _differs(f"sysctl {each.path}", "absent" if found is None else found, each.value)
    if link is None:
        return
    current = wire.now(settings.properties, link)
    for name in (each.name for each in fields(current)):
        is_now, wanted = getattr(current, name), getattr(settings.properties, name)
        if is_now != wanted:
            _differs(f'{KEYS.get(name, name)} of "{link.name}"', is_now, wanted)


def _differs(what: str, found: object, wanted: object) -> NoReturn:
    raise CniError(
        Code.CHECK_FAILED,
        f"tuning: {what} is {found}, expected {wanted}",
        "somebody changed it: set it again, or remove the container's network and add it again",
    )
