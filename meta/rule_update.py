"""Changes packet rules although other programs change them, too.

A step reads, decides and writes. It is repeated when another program changed the rules after they were read.
"""

from __future__ import annotations

import errno
from functools import partial

from kernel.errors import KernelError
from kernel.firewall import lock, nft

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

ATTEMPTS = 5
FAMILIES = (4, 6)


def repeat(step: Callable[[], None]) -> None:
    """Execute a step that reads and writes; repeat it when another program changed the rules. Raises KernelError."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            step()
        except KernelError as refused:
            overtaken = refused.gone or refused.exists or refused.errno in (errno.EIO, errno.EBUSY)
            if not overtaken or attempt == ATTEMPTS:
                raise
        else:
            return


def remove(backend: str, in_legacy: Callable[[int], None], in_modern: Callable[[], None]) -> None:
    """Execute the steps that remove rules from `backend` (empty: from both).

    Per IP version of iptables, and for nftables.

    Every step is executed, even after errors. Raises an ExceptionGroup of their KernelErrors.
    """
    steps: list[Callable[[], None]] = []
    if backend != "nftables":
        steps += [partial(in_legacy, family) for family in FAMILIES]
    if backend != "iptables":
        steps.append(in_modern)
    failures: list[Exception] = []
    with lock.rules_lock():
        for step in steps:
            try:
                repeat(step)
            except KernelError as refused:
                failures.append(refused)
    if failures:
        raise ExceptionGroup("not everything could be removed", failures)


def objects(family: str, table: str) -> list[dict[str, Any]]:
    """Return the objects of one of our nftables tables; empty where nftables does not work. Raises KernelError."""
    try:
        return nft.listing(family, table)
    except KernelError as refused:
        if refused.unsupported:
            return []
        raise
