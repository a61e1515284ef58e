"""Claims about the units and the settings beside them:

- systemd finds nothing wrong with a unit, for the daemon as for the example
- ready, watchdog and exit codes are what the daemon keeps: notify, a heartbeat, 2 for a person
- what the daemon has to write stays writable, and the lease file and a forwarder outlive it
- every setting of the sample is one the daemon knows
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from build.programs import ROOT
from overlay.settings import OPTIONS

UNITS = ROOT / "build" / "systemd"


def values(key: str) -> list[str]:
    lines = (UNITS / "tulled.service").read_text().splitlines()
    return [line.partition("=")[2] for line in lines if line.startswith(f"{key}=")]


@pytest.mark.parametrize(
    ("unit", "program"), [("tulled.service", "/usr/local/bin/tulled"), ("etcd.service", "/usr/bin/etcd")]
)
def test_systemd_finds_nothing_wrong(unit: str, program: str, tmp_path: Path) -> None:
    verifier = shutil.which("systemd-analyze")
    if verifier is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("systemd-analyze (package systemd) is absent")
    stand_in = shutil.copy("/bin/true", tmp_path / "program")
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
