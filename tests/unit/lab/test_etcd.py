"""Claims: the lab's etcd serves what was put, keeps it over a restart, and goes back with its backup; its certificates name the
loopback.
"""

import subprocess
from pathlib import Path

from tests.lab.etcd import Etcd, certificates
from tests.lab.world import tool


def test_data_stay_over_a_restart_and_go_back_with_the_backup(tmp_path: Path) -> None:
    etcd = Etcd(tmp_path / "etcd").start()
    etcd.put("key", b"\xff\n")
    etcd.stop()
    etcd.save()
    etcd.start()
    assert etcd.get("key") == b"\xff\n"
    etcd.put("key", "new")
    etcd.stop()
    etcd.restore()
    etcd.start()
    assert etcd.get("key") == b"\xff\n"
    etcd.stop()


def test_certificates_are_for_the_loopback(tmp_path: Path) -> None:
    files = certificates(tmp_path / "tls")
    said = subprocess.run(
        [tool("openssl"), "x509", "-in", files.certificate, "-noout", "-ext", "subjectAltName"],
        capture_output=True,
        check=True,
    )
    assert b"IP Address:127.0.0.1" in said.stdout
