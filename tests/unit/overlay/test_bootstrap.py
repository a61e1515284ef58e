"""Claims: the network config of a first start comes from --network with its VNI and port, or from a file, checked before it is stored."""

import io
from pathlib import Path

import pytest

from overlay import bootstrap
from overlay.config import settings
from overlay.errors import Refused


def founding(*words: str) -> str:
    return bootstrap.initial_config(settings.parse(words, {}, io.StringIO()))


@pytest.mark.parametrize(
    ("words", "config"),
    [
        ([], ""),
        (["--network", "10.42.0.0/16"], '{"Network":"10.42.0.0/16","Backend":{"Type":"vxlan","VNI":1}}'),
        (
            ["--network", "10.42.0.0/16", "--vni", "7", "--port", "4789"],
            '{"Network":"10.42.0.0/16","Backend":{"Type":"vxlan","VNI":7,"Port":4789}}',
        ),
    ],
)
def test_flags_make_flannels_config(words: list[str], config: str) -> None:
    assert founding(*words) == config


def test_a_file_is_taken_as_it_is(tmp_path: Path) -> None:
    text = '{ "Network": "10.42.0.0/16", "Backend": {"Type": "vxlan"} }\n'
    (tmp_path / "net.json").write_text(text)
    assert founding("--net-config", str(tmp_path / "net.json")) == text


@pytest.mark.parametrize("text", [b"", b"\xff", b"{}", b'{"Network": "10.0.0.0/8", "Backend": {"Type": "ipip"}}'])
def test_a_bad_file_is_refused_by_its_path(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "net.json").write_bytes(text)
    with pytest.raises(Refused, match=r"net\.json: "):
        founding("--net-config", str(tmp_path / "net.json"))
