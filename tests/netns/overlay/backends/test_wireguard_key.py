"""Claims: a key is made once, readable by its owner alone, and stays; what holds none is refused by its path without a word of
its content; a place that cannot be written is said to be one.
"""

from pathlib import Path

import pytest

from overlay.backends import wireguard_key
from overlay.errors import Refused, Unavailable


def test_a_key_is_made_once_and_stays(tmp_path: Path) -> None:
    place = tmp_path / "new" / "wireguard.key"
    key = wireguard_key.private_key(str(place))
    assert wireguard_key.private_key(str(place)) == key
    assert (place.stat().st_mode & 0o777, place.read_text()) == (0o400, key)
    assert [one.name for one in place.parent.iterdir()] == ["wireguard.key"]
    assert len(wireguard_key.public_key(key, "x")) == 44


@pytest.mark.parametrize("content", [b"", b"hush", b"\xff\xfe"])
def test_what_holds_no_key_is_refused_and_not_shown(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "key").write_bytes(content)
    with pytest.raises(Refused, match="holds no WireGuard key") as refused:
        wireguard_key.private_key(str(tmp_path / "key"))
    assert "hush" not in str(refused.value)


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Unavailable, match="cannot be read or made: File exists"):
        wireguard_key.private_key(str(tmp_path / "file" / "key"))
