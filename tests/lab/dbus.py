"""A D-Bus message bus of the test's own: the real dbus-daemon with a private socket, and a service with firewalld's name on it.

The service keeps sources by zone as firewalld does, answers with its texts, and remembers every call. Must not be used for rules:
it has none.
"""

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jeepney import DBusAddress, HeaderFields, MessageType, new_error, new_method_call, new_method_return
from jeepney.bus_messages import message_bus
from jeepney.io.blocking import open_dbus_connection

NAME = "org.fedoraproject.FirewallD1"
QUIT = "quit"

POLICY = """<busconfig><type>custom</type><listen>unix:path={socket}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/><allow user="*"/></policy></busconfig>
"""


@contextmanager
def message_bus_at(directory: Path) -> Iterator[str]:
    """Run a bus and yield its address."""
    address = f"unix:path={directory / 'bus'}"
    recipe = directory / "bus.conf"
    recipe.write_text(POLICY.format(socket=directory / "bus"))
    with subprocess.Popen(
        ["dbus-daemon", f"--config-file={recipe}", "--nofork", "--nopidfile", "--print-address"], stdout=subprocess.PIPE
    ) as daemon:
        try:
            assert daemon.stdout is not None
            assert daemon.stdout.readline()
            yield address
        finally:
            daemon.terminate()


@dataclass
class Zones:
    """What the service knows: `silent` makes it swallow calls."""

    sources: dict[str, str] = field(default_factory=dict)
    calls: list[tuple[str, ...]] = field(default_factory=list)
    zones: tuple[str, ...] = ("trusted", "home")
    silent: bool = False

    def answer(self, method: str, zone: str, source: str) -> Any:
        """Return what firewalld would; a refusal is a ValueError with firewalld's text."""
        self.calls.append((method, zone, source))
        if zone not in self.zones:
            raise ValueError(f"INVALID_ZONE: {zone}")
        bound = self.sources.get(source)
        if method == "querySource":
            return bound == zone
        if method == "addSource":
            if bound is not None:
                raise ValueError("ZONE_ALREADY_SET: " + source if bound == zone else f"ZONE_CONFLICT: '{source}'")
            self.sources[source] = zone
        elif bound is None:
            raise ValueError(f"UNKNOWN_SOURCE: {source}")
        elif bound != zone:
            raise ValueError(f"ZONE_CONFLICT: '{source}'")
        else:
            del self.sources[source]
        return zone


@contextmanager
def firewalld_on(address: str) -> Iterator[Zones]:
    """Serve firewalld's name on a bus for as long as this lasts."""
    zones = Zones()
    connection = open_dbus_connection(address)
    connection.send_and_get_reply(message_bus.RequestName(NAME), timeout=5)

    def serve() -> None:
        while True:
            asked = connection.receive()
            fields = asked.header.fields
            if asked.header.message_type is not MessageType.method_call:
                continue
            if fields[HeaderFields.member] == QUIT:
                connection.send(new_method_return(asked))
                return
            if zones.silent:
                continue
            try:
                value = zones.answer(fields[HeaderFields.member], *asked.body)
                reply = new_method_return(asked, "b" if isinstance(value, bool) else "s", (value,))
            except ValueError as refused:
                reply = new_error(asked, f"{NAME}.Exception", "s", (str(refused),))
            connection.send(reply)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield zones
    finally:
        with open_dbus_connection(address) as other:
            _quit(other)
        thread.join(5)
        connection.close()


def _quit(connection: Any) -> None:
    """Have the service end, and wait for its word: a bus drops what a closed connection said last."""
    connection.send_and_get_reply(new_method_call(DBusAddress("/", bus_name=NAME, interface=NAME), QUIT), timeout=5)
