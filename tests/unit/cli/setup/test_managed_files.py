"""Claims about files in other programs' folders:

- what is written is ours, may be written again and is removed without a trace, but for folders that stand
- a file of others, an edited one and a link are refused before anything is written, and are not removed
- what a crash leaves between record and file does no harm; a record that cannot be read is said
"""

import json
from pathlib import Path

import pytest

from cli.inspect.detect import under
from cli.setup.managed_files import RECORD, File, ManagedFiles, NotOurs

FILE = File("/etc/cni/net.d/10-tulle.conflist", "{}\n")


def test_what_is_written_is_ours(tmp_path: Path) -> None:
    ManagedFiles(tmp_path).write(FILE)
    again = ManagedFiles(tmp_path)
    assert (again.paths(), again.stands(FILE)) == ((FILE.path,), True)
    changed = File(FILE.path, "[]\n")
    again.refuse([changed])
    again.write(changed)
    assert under(tmp_path, FILE.path).read_text() == "[]\n"
    assert ManagedFiles(tmp_path).remove(FILE.path)
    assert [path for path in tmp_path.rglob("*") if not path.is_dir()] == []
    assert under(tmp_path, "/etc/cni/net.d").is_dir()


@pytest.mark.parametrize("theirs", ["written", "linked"])
def test_a_file_of_others_is_refused(tmp_path: Path, theirs: str) -> None:
    place = under(tmp_path, FILE.path)
    place.parent.mkdir(parents=True)
    if theirs == "written":
        place.write_text(FILE.content)
    else:
        place.symlink_to("elsewhere")
    with pytest.raises(NotOurs, match=r"10-tulle\.conflist was not written by tulle init and stays"):
        ManagedFiles(tmp_path).refuse([FILE])


def test_an_edited_file_is_its_editors(tmp_path: Path) -> None:
    ManagedFiles(tmp_path).write(FILE)
    under(tmp_path, FILE.path).write_text("{ }\n")
    ours = ManagedFiles(tmp_path)
    with pytest.raises(NotOurs, match="was edited since"):
        ours.refuse([FILE])
    assert not ours.remove(FILE.path)
    assert under(tmp_path, FILE.path).read_text() == "{ }\n"


def test_a_record_without_its_file_does_no_harm(tmp_path: Path) -> None:
    under(tmp_path, RECORD).parent.mkdir(parents=True)
    under(tmp_path, RECORD).write_text(json.dumps({FILE.path: "0" * 64}))
    ours = ManagedFiles(tmp_path)
    ours.refuse([FILE])
    assert ours.paths() == ()
    assert ours.remove(FILE.path)
    assert not under(tmp_path, RECORD).exists()


@pytest.mark.parametrize("text", ["", "{", "[]", "[" * 100_000])
def test_a_record_that_is_none_is_said_and_nothing_is_taken_for_ours(tmp_path: Path, text: str) -> None:
    record = tmp_path / "var/lib/tulle/init.json"
    record.parent.mkdir(parents=True)
    record.write_text(text)
    with pytest.raises(NotOurs, match=r"init\.json cannot be read .*: move it away"):
        ManagedFiles(tmp_path)
