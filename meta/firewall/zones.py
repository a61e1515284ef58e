"""Binds containers' addresses to a zone of firewalld, over the system bus (docs/reference/cni.md 4.2, firewalld).

Without a D-Bus socket it costs one stat. Two traps: firewalld does not record whose an address is, and it forgets the
addresses when it reloads.
"""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress

from cni.errors import CniError, Code

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from meta.firewall.dbus import Bus
    from system.ip import IPAddress

NAME = "org.fedoraproject.FirewallD1"
ZONES = (NAME, "/org/fedoraproject/FirewallD1", f"{NAME}.zone")
SYSTEM_BUS = "unix:path=/var/run/dbus/system_bus_socket"
"""The address of the system bus when DBUS_SYSTEM_BUS_ADDRESS is not set (D-Bus specification)."""

REMEDY = "start firewalld (systemctl start firewalld), or set backend to iptables or nftables"


def bus_of(environ: Mapping[str, str]) -> str:
    """Return the address of the system bus."""
    return environ.get("DBUS_SYSTEM_BUS_ADDRESS") or SYSTEM_BUS


def runs(address: str) -> bool:
    """Return whether firewalld owns its name on the bus; False when the bus does not answer."""
    if not _may_answer(address):
        return False
    from meta.firewall import dbus  # noqa: PLC0415 - only where there is a bus

    with suppress(OSError, dbus.RefusedError), dbus.Bus(address) as bus:
        return bus.is_owned(NAME)
    return False


RELOADED = f"type='signal',sender='{NAME}',interface='{NAME}',member='Reloaded'"
STARTED = f"type='signal',sender='org.freedesktop.DBus',member='NameOwnerChanged',arg0='{NAME}'"
"""The match rules for two signals (D-Bus specification, "Match Rules"): firewalld has reloaded.

It has started or ended.
"""


def follow(address: str) -> Bus | None:
    """Return a connection on which `reloads` hears of firewalld, running or not; None when no bus answers."""
    if not _may_answer(address):
        return None
    from meta.firewall import dbus  # noqa: PLC0415 - only where there is a bus

    with suppress(OSError, dbus.RefusedError):
        bus = dbus.Bus(address)
        try:
            for rule in (RELOADED, STARTED):
                bus.listen(rule)
        except (OSError, dbus.RefusedError):
            bus.close()
            return None
        return bus
    return None


def reloads(bus: Bus) -> bool:
    """Return whether firewalld has loaded its rules anew since the last call. Raises OSError when the bus is gone."""
    # NameOwnerChanged has three values: name, old owner, new owner
    return any(name == "Reloaded" or (len(said) == 3 and bool(said[2])) for name, said in bus.signals())


def require(address: str) -> None:
    """Raise CniError 50 unless firewalld runs."""
    if not runs(address):
        raise CniError(Code.NOT_AVAILABLE, f"firewalld does not answer on the bus {address}", REMEDY)


def add(address: str, zone: str, addresses: Collection[IPAddress]) -> None:
    """Bind every address to `zone`. Raises CniError when firewalld refuses or does not answer."""
    with _conversation(address) as bus:
        for source in _sources(addresses):
            _ask(bus, "addSource", zone, source, "ZONE_ALREADY_SET")


def remove(address: str, zone: str, addresses: Collection[IPAddress]) -> None:
    """Remove every address from `zone`. Without firewalld, zone or binding there is nothing to remove."""
    if addresses and runs(address):
        with _conversation(address) as bus:
            for source in _sources(addresses):
                _ask(bus, "removeSource", zone, source, "UNKNOWN_SOURCE", "ZONE_CONFLICT", "INVALID_ZONE")


def missing(address: str, zone: str, addresses: Collection[IPAddress]) -> list[str]:
    """Return, as text, the addresses that `zone` lacks. Raises CniError as `add` does."""
    with _conversation(address) as bus:
        return [
            f"source {source} in firewalld's zone {zone}"
            for source in _sources(addresses)
            if not _ask(bus, "querySource", zone, source)
        ]


def _sources(addresses: Collection[IPAddress]) -> list[str]:
    return [f"{each}/{each.max_prefixlen}" for each in addresses]


def _may_answer(address: str) -> bool:
    """Return whether the first socket in an address exists; True for an address that a stat cannot test."""
    _, found, rest = address.partition("unix:path=")
    path = rest.partition(";")[0].partition(",")[0]
    return not found or "%" in path or os.path.exists(path)  # noqa: PTH110 - pathlib costs a cold start 5 ms


@contextmanager
def _conversation(address: str) -> Iterator[Bus]:
    from meta.firewall import dbus  # noqa: PLC0415 - as above

    try:
        with dbus.Bus(address) as bus:
            yield bus
    except (OSError, dbus.RefusedError) as wrong:
        raise CniError(Code.IO_FAILURE, f"firewalld does not answer on the bus {address}: {wrong}", REMEDY) from wrong


def _ask(bus: Bus, method: str, zone: str, source: str, *tolerated: str) -> bool:
    """Return whether firewalld did it, or answers yes. False for an error in `tolerated`; CniError for any other."""
    from meta.firewall import dbus  # noqa: PLC0415 - as above

    try:
        answer = bus.call(ZONES, method, zone, source)
    except dbus.RefusedError as refused:
        if refused.name in UNREACHABLE:
            raise
        if refused.text.startswith(tolerated):
            return False
        raise CniError(
            Code.IO_FAILURE,
            f"firewalld refuses {method} of {source} in zone {zone}: {refused}",
            "look at the zone with `firewall-cmd --info-zone`, and see that firewalldZone names one that exists",
        ) from refused
    return bool(answer and answer[0])


UNREACHABLE = ("org.freedesktop.DBus.Error.ServiceUnknown", "org.freedesktop.DBus.Error.NoReply")
"""The bus's own errors when nobody owns the name, or the owner has ended."""
