"""resolv.conf as the reference reads it (docs/reference/cni.md 3.5).

Claims: keywords add up or replace as resolv.conf(5) and the reference have it; junk is skipped; an unreadable file is a
refusal that names it.
"""

from pathlib import Path

import pytest

from cni.errors import CniError
from cni.types import Dns
from ipam import resolvconf


def test_all_keywords() -> None:
    text = """
        nameserver 192.0.2.1
        domain first.example
        ; remark
        # nameserver 192.0.2.9
        nameserver 192.0.2.2 ignored
        search a.example b.example
        domain example.com
        options ndots:2
        search c.example
        options rotate  attempts:1
        nameserver
        sortlist 10.0.0.0
    """
    assert resolvconf.parse(text) == Dns(
        nameservers=("192.0.2.1", "192.0.2.2"),
        domain="example.com",
        search=("a.example", "b.example", "c.example"),
        options=("ndots:2", "rotate", "attempts:1"),
    )


@pytest.mark.parametrize("text", ["", "\n\n", "#", ";;", "domain", "\x00\xff \t", "name server 1"])
def test_text_without_settings_yields_none(text: str) -> None:
    assert resolvconf.parse(text) == Dns()


def test_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "resolv.conf").write_bytes(b"search caf\xe9.example\r\nnameserver fd00::53\r\n")
    assert resolvconf.read(str(tmp_path / "resolv.conf")).nameservers == ("fd00::53",)


def test_unreadable_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(CniError, match="No such file or directory") as refusal:
        resolvconf.read(str(tmp_path / "none"))
    assert refusal.value.code == 5
    assert str(tmp_path / "none") in refusal.value.msg
