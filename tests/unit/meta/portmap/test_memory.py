"""Claims about meta.portmap.memory: what is remembered is recalled until it is forgotten; junk is nothing; strangers go by network."""

from pathlib import Path

from cni.owner import Owner
from meta.portmap import memory
from meta.portmap.memory import Memory

ONE, TWO, ELSEWHERE = Owner("net", "c1", "eth0"), Owner("net", "c2", "eth0"), Owner("other", "c1", "eth0")


def kept(owner: Owner) -> Memory:
    return Memory(owner.alias, "boot", "nftables", named_link=True)


def test_what_is_remembered_is_recalled_until_forgotten(tmp_path: Path) -> None:
    folder = str(tmp_path / "deep" / "er")
    for _ in range(2):
        memory.remember(folder, ONE, kept(ONE))
    assert (memory.recall(folder, ONE.mark), memory.recall(folder, TWO.mark)) == (kept(ONE), None)
    assert [path.stat().st_mode & 0o777 for path in (Path(folder), Path(folder, ONE.mark))] == [0o700, 0o600]
    for _ in range(2):
        memory.forget(folder, ONE)
    assert list(Path(folder).iterdir()) == []


def test_junk_is_nothing(tmp_path: Path) -> None:
    for junk in ("", "{", "[]", "{}", '{"attachment": 5}'):
        (tmp_path / ONE.mark).write_text(junk)
        assert memory.recall(str(tmp_path), ONE.mark) is None
    (tmp_path / TWO.mark).symlink_to("/etc/passwd")
    assert memory.recall(str(tmp_path), TWO.mark) is None


def test_strangers_of_one_network_are_forgotten(tmp_path: Path) -> None:
    memory.forget_strangers(str(tmp_path / "absent"), "net", [])
    for owner in (ONE, TWO, ELSEWHERE):
        memory.remember(str(tmp_path), owner, kept(owner))
    (tmp_path / f".{TWO.mark}").write_text("killed while writing")
    memory.forget_strangers(str(tmp_path), "net", [ONE])
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([ONE.mark, ELSEWHERE.mark])


def test_the_boot_is_told() -> None:
    assert len(memory.current_boot()) == 36
