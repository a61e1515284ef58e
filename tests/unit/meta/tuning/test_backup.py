"""Claims about the file of an attachment: what is remembered is recalled; the reference's file is read; private and complete; what
neither program writes counts as nothing; GC takes the files of its own network alone.
"""

import json
from pathlib import Path

import pytest

from cni.errors import CniError
from meta.tuning import backup
from meta.tuning.config import Properties
from meta.tuning.plan import Memory

MAC = "02:00:00:00:00:01"
FULL = Memory("net", Properties(MAC, 1400, promisc=False, all_multicast=True, queue=0), {"net/x": ""})


def test_what_is_remembered_is_recalled(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    for memory in (FULL, Memory("net")):
        backup.remember(str(folder), "c1_eth0.json", memory)
        assert backup.recall(str(folder), "c1_eth0.json") == memory
    assert (folder.stat().st_mode & 0o777, (folder / "c1_eth0.json").stat().st_mode & 0o777) == (0o700, 0o600)
    backup.forget(str(folder), "c1_eth0.json")
    backup.forget(str(folder), "c1_eth0.json")
    assert list(folder.iterdir()) == []


def test_the_keys_are_the_references(tmp_path: Path) -> None:
    backup.remember(str(tmp_path), "x.json", FULL)
    told = json.loads((tmp_path / "x.json").read_text())
    assert told.pop("sysctl") == {"net/x": ""}
    assert told.pop("network") == "net"
    assert told == {"mac": MAC, "promisc": False, "mtu": 1400, "allmulti": True, "txQLen": 0}


def test_the_references_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(f'{{\n "mac": "{MAC}",\n "promisc": false,\n "mtu": 1500\n}}')
    assert backup.recall(str(tmp_path), "x.json") == Memory("", Properties(MAC, 1500, promisc=False))


@pytest.mark.parametrize("text", ["", "{", "[]", '{"mac": "zz"}', '{"mtu": "x"}', '{"promisc": 1}', "\x00"])
def test_what_neither_program_writes_is_nothing(text: str, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(text)
    assert backup.recall(str(tmp_path), "x.json") is None


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    backup.remember(str(tmp_path), "x.json", FULL)
    (tmp_path / "y.json").symlink_to("x.json")
    assert backup.recall(str(tmp_path), "y.json") is None


def test_gc_takes_the_files_of_its_own_network_alone(tmp_path: Path) -> None:
    for file, network in (
        ("a_eth0.json", "net"),
        ("b_eth0.json", "net"),
        ("c_eth0.json", "other"),
        ("d_eth0.json", ""),
    ):
        backup.remember(str(tmp_path), file, Memory(network))
    (tmp_path / "e_eth0.json").write_text("?")
    backup.forget_strangers(str(tmp_path), "net", {backup.name("a", "eth0")})
    assert sorted(each.name[0] for each in tmp_path.iterdir()) == ["a", "c", "d", "e"]
    backup.forget_strangers(str(tmp_path / "absent"), "net", set())


def test_a_folder_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CniError, match="tuning's memory") as refused:
        backup.remember(str(tmp_path / "file" / "x"), "x.json", FULL)
    assert refused.value.code == 5
