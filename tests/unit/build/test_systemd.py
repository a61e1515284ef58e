"""Claims about the units and the settings beside them:

- systemd finds nothing wrong with a unit, for the daemon as for the example
- ready, watchdog and exit codes are what the daemon keeps: notify, a heartbeat, 2 for a person
- what the daemon has to write stays writable, and the lease file and a forwarder outlive it
- every setting of the sample is one the daemon knows
- the agent's unit changes nothing of where the agent stands, and asks for what the agent needs
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from agent import protocol
from build.programs import ROOT
from overlay.config.settings import OPTIONS

UNITS = ROOT / "build" / "systemd"


def values(key: str, unit: str = "tulled.service") -> list[str]:
    lines = (UNITS / unit).read_text().splitlines()
    return [line.partition("=")[2] for line in lines if line.startswith(f"{key}=")]


@pytest.mark.parametrize(
    ("unit", "program"),
    [
        ("tulled.service", "/usr/local/bin/tulled"),
        ("etcd.service", "/usr/bin/etcd"),
        ("tulle-agent.service", "/usr/local/bin/tulle"),
    ],
)
def test_systemd_finds_nothing_wrong(unit: str, program: str, tmp_path: Path) -> None:
    verifier = shutil.which("systemd-analyze")
    if verifier is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("systemd-analyze (package systemd) is absent")
    stand_in = shutil.copy("/bin/true", tmp_path / "program")
    shutil.copy(UNITS / "tulle-agent.socket", tmp_path)
    (tmp_path / unit).write_text((UNITS / unit).read_text().replace(program, str(stand_in)))

    said = subprocess.run(
        [verifier, "verify", "--man=no", tmp_path / unit], capture_output=True, text=True, check=False
    )

    assert (said.returncode, [line for line in said.stderr.splitlines() if unit in line]) == (0, [])


def test_ready_watchdog_and_exit_codes_are_the_daemons() -> None:
    assert values("Type") == ["notify"]
    assert values("WatchdogSec") == ["30"]
    assert (values("Restart"), values("RestartPreventExitStatus")) == (["on-failure"], ["2"])


def test_what_the_daemon_writes_stays_writable() -> None:
    assert not values("ProtectKernelTunables")
    assert not values("PrivateNetwork")
    assert values("ProtectSystem") == ["full"]
    assert "CAP_NET_ADMIN" in values("CapabilityBoundingSet")[0].split()


def test_the_lease_file_and_a_forwarder_outlive_the_daemon() -> None:
    assert ("flannel" in values("RuntimeDirectory")[0], values("RuntimeDirectoryPreserve")) == (True, ["yes"])
    assert values("KillMode") == ["process"]


def test_the_sample_has_a_line_for_every_store() -> None:
    text = (UNITS / "tulled.default").read_text()
    assert all(line in text for line in ("#TULLED_STORE=file:", "#TULLED_NETWORK=", "#TULLED_ETCD_ENDPOINTS=https://"))


def test_every_setting_of_the_sample_is_known() -> None:
    known = {option.variables[0] for option in OPTIONS}
    named = re.findall("^#?(TULLED_[A-Z_]+)=", (UNITS / "tulled.default").read_text(), re.MULTILINE)
    assert named
    assert set(named) <= known


def test_the_agents_unit_leaves_it_where_it_is() -> None:
    lines = (UNITS / "tulle-agent.service").read_text().splitlines()
    keys = {line.partition("=")[0] for line in lines if "=" in line and not line.startswith("#")}

    assert not [
        key for key in keys if re.match("Private|Protect|Root|Bind|Temporary|.*Paths|Restrict|Capab|NoNew|User", key)
    ]


def test_the_agents_unit_asks_for_what_it_needs() -> None:
    unit = "tulle-agent.service"
    told = {key: values(key, unit) for key in ("Type", "KillMode", "OOMScoreAdjust", "Restart")}

    assert told == {"Type": ["notify"], "KillMode": ["mixed"], "OOMScoreAdjust": ["-900"], "Restart": ["always"]}
    assert values("ListenSequentialPacket", "tulle-agent.socket") == [protocol.PATH]
    assert values("SocketMode", "tulle-agent.socket") == ["0600"]
