"""Claims, on a real message bus: a name is owned while its service runs; a refusal has its name and text; what is no bus is an OSError."""

import socket
from pathlib import Path

import pytest

from meta.firewall import dbus
from tests.lab.dbus import NAME, firewalld_on, message_bus_at

ZONES = (NAME, "/", f"{NAME}.zone")


def test_a_name_is_owned_while_its_service_runs(tmp_path: Path) -> None:
    with message_bus_at(tmp_path) as address:
        with firewalld_on(address), dbus.Bus(address) as bus:
            assert (bus.is_owned(NAME), bus.is_owned(f"{NAME}.other")) == (True, False)
            assert bus.call(ZONES, "querySource", "trusted", "10.1.0.5/32") == (False,)
            with pytest.raises(dbus.RefusedError, match="INVALID_ZONE: none") as refused:
                bus.call(ZONES, "addSource", "none", "10.1.0.5/32")
            assert refused.value.name == f"{NAME}.Exception"
        with dbus.Bus(address) as bus:
            assert not bus.is_owned(NAME)
            with pytest.raises(dbus.RefusedError, match="ServiceUnknown"):
                bus.call(ZONES, "querySource", "trusted", "10.1.0.5/32")


@pytest.mark.parametrize("address", ["", "nonsense", "tcp:host=127.0.0.1,port=1", "unix:path=/none"])
def test_what_is_no_bus_is_an_os_error(address: str) -> None:
    with pytest.raises(OSError):
        dbus.Bus(address)


def test_silence_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dbus, "SECONDS", 0.1)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "bus"))
        silent.listen()
        with pytest.raises(TimeoutError):
            dbus.Bus(f"unix:path={tmp_path / 'bus'}")
