"""Claims about docs/start-etcd.md: the certificates its commands make are good by the strictest rules of openssl, for the addresses
the page names.
"""

import subprocess
from pathlib import Path

from tests.lab import page

PAGE = Path(__file__).resolve().parents[3] / "docs" / "start-etcd.md"


def test_the_certificates_of_the_page_are_good_by_the_strictest_rules(tmp_path: Path) -> None:
    block = next(one for one in page.read(PAGE, {"/etc/etcd": str(tmp_path)}) if "openssl" in one.script)
    script = block.script.partition("if id etcd")[0]
    subprocess.run(["sh", "-e", "-c", script], check=True, capture_output=True)
    verify = ["openssl", "verify", "-x509_strict", "-CAfile", str(tmp_path / "ca.pem"), "-verify_ip", "192.0.2.11"]
    said = subprocess.check_output([*verify, str(tmp_path / "server.pem")], text=True)
    assert said == f"{tmp_path / 'server.pem'}: OK\n"
