"""Binds containers' addresses to a zone of firewalld, asked over the system bus (docs/reference/cni.md 4.2, firewalld).

Without a socket there is nothing to ask, and that costs one stat. Must not know rules or settings. Blind spot: a source says
not whose it is, and firewalld forgets it when it reloads.
"""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress

from cni.errors import CniError, Code

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from cni.types import IPAddress
    from meta.firewall.dbus import Bus

NAME = "org.fedoraproject.FirewallD1"
ZONES = (NAME, "/org/fedoraproject/FirewallD1", f"{NAME}.zone")
SYSTEM_BUS = "unix:path=/var/run/dbus/system_bus_socket"
"""Where D-Bus's specification puts the system bus when DBUS_SYSTEM_BUS_ADDRESS is unset."""

REMEDY = "start firewalld (systemctl start firewalld), or set backend to iptables or nftables"


def bus_of(environ: Mapping[str, str]) -> str:
    """Return the address of the system bus."""
    return environ.get("DBUS_SYSTEM_BUS_ADDRESS") or SYSTEM_BUS


def runs(address: str) -> bool:
    """Tell whether firewalld has its name on the bus; a bus that cannot be asked has no firewalld."""
    if not _may_answer(address):
        return False
    from meta.firewall import dbus  # noqa: PLC0415 - only where there is a bus

    with suppress(OSError, dbus.RefusedError), dbus.Bus(address) as bus:
        return bus.is_owned(NAME)
    return False


RELOADED = f"type='signal',sender='{NAME}',interface='{NAME}',member='Reloaded'"
STARTED = f"type='signal',sender='org.freedesktop.DBus',member='NameOwnerChanged',arg0='{NAME}'"
"""What a bus is to send on: that firewalld has read its rules anew, and that it came or went (D-Bus specification, "Match Rules")."""


def follow(address: str) -> Bus | None:
    """Return a conversation in which `reloads` hears of firewalld, whether or not it runs yet; None where no bus answers."""
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
    """Tell whether firewalld has loaded its rules anew since the last question; raises OSError when the bus is gone."""
    # of one that came or went: name, owner before, owner now
    return any(name == "Reloaded" or (len(said) == 3 and bool(said[2])) for name, said in bus.signals())


def require(address: str) -> None:
    """Raise CniError 50 unless firewalld runs."""
    if not runs(address):
        raise CniError(Code.NOT_AVAILABLE, f"firewalld does not answer on the bus {address}", REMEDY)


def add(address: str, zone: str, addresses: Collection[IPAddress]) -> None:
    """Bind every address to `zone`; one that is bound to it stays. Raises CniError when firewalld refuses or does not answer."""
    with _conversation(address) as bus:
        for source in _sources(addresses):
            _ask(bus, "addSource", zone, source, "ZONE_ALREADY_SET")


def remove(address: str, zone: str, addresses: Collection[IPAddress]) -> None:
    """Take every address from `zone`; without firewalld, zone or binding there is nothing to take."""
    if addresses and runs(address):
        with _conversation(address) as bus:
            for source in _sources(addresses):
                _ask(bus, "removeSource", zone, source, "UNKNOWN_SOURCE", "ZONE_CONFLICT", "INVALID_ZONE")


def missing(address: str, zone: str, addresses: Collection[IPAddress]) -> list[str]:
    """Return the sources that `zone` lacks, each in words. Raises CniError as `add` does."""
    with _conversation(address) as bus:
        return [
            f"source {source} in firewalld's zone {zone}"
            for source in _sources(addresses)
            if not _ask(bus, "querySource", zone, source)
        ]


def _sources(addresses: Collection[IPAddress]) -> list[str]:
    return [f"{each}/{each.max_prefixlen}" for each in addresses]


def _may_answer(address: str) -> bool:
    """Tell whether the first socket an address names is there; what a stat cannot tell has to be asked."""
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
    """Return whether firewalld did or affirms it; False for a refusal that is `tolerated`, CniError for any other."""
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
"""What the bus itself says when nobody has the name, or who had it went away."""
