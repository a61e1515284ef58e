"""Decides what must be saved before anything is changed, and what the result says afterwards."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from types import MappingProxyType

from meta.tuning.config import NOTHING, Properties

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TypeVar

    from cni.types import Interface, Result

    Value = TypeVar("Value")


def _none() -> Mapping[str, str]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Memory:
    """What was there before ADD: only the properties and parameters that it changes."""

    network: str = ""  # empty in a file of the reference
    properties: Properties = NOTHING
    sysctls: Mapping[str, str] = field(default_factory=_none)  # values by path below /proc/sys


def kept(network: str, before: Memory, first: Memory | None) -> Memory:
    """Return what to save. When an attachment is added again, the values before the first ADD are kept."""
    first = first or Memory()
    return Memory(
        network,
        Properties(
            mac=first.properties.mac or before.properties.mac,
            mtu=first.properties.mtu or before.properties.mtu,
            promisc=_either(first.properties.promisc, before.properties.promisc),
            all_multicast=_either(first.properties.all_multicast, before.properties.all_multicast),
            queue=_either(first.properties.queue, before.properties.queue),
        ),
        MappingProxyType({**before.sysctls, **first.sysctls}),
    )


def answered(earlier: Result, ifname: str, wanted: Properties) -> Result:
    """Return prevResult with the interface's present MAC, and its MTU if prevResult has one."""
    return replace(
        earlier,
        interfaces=tuple(_as_wanted(entry, wanted) if entry.name == ifname else entry for entry in earlier.interfaces),
    )


def _as_wanted(entry: Interface, wanted: Properties) -> Interface:
    return replace(entry, mac=wanted.mac or entry.mac, mtu=(wanted.mtu or entry.mtu) if entry.mtu else 0)


def _either(first: Value | None, then: Value | None) -> Value | None:
    return then if first is None else first
