"""Claims about the records of libcni's cache:

- a record says who is attached, and each program is handed what libcni would hand it
- without a namespace of its own the record takes the result's
- whatever else lies there is told with its reason, and the next record is read
"""

import json
import os
from pathlib import Path

import pytest

from cli.repair import cni_cache
from cni.attachment_id import AttachmentID
from tests.unit.cli.repair import samples

HOSTILE = {
    "no JSON": b"{",
    "not an object": b"[]",
    "nested deeply": b"[" * 100_000,
    "another kind": samples.record(kind="x"),
    "no config": samples.record(config={"plugins": []}),
    "plugins that are no list": samples.record(config={"plugins": {"type": "bridge"}}),
    "a plugin without a type": samples.record(config={"plugins": [{}]}),
    "a type that is no text": samples.record(config={"plugins": [{"type": 1}]}),
    "no base64": samples.record().replace(b'"config": "', b'"config": "*'),
    "an id that leads away": samples.record(containerId="../../etc"),
    "a name with a NUL": samples.record(networkName="a\0b"),
    "an interface name with a slash": samples.record(ifName="a/b"),
    "a result that is none": samples.record(result=[]),
    "arguments that are no pairs": samples.record(cniArgs=[["a"]]),
    "arguments that are no list": samples.record(cniArgs={"a": "b"}),
    "capabilities that are a list": samples.record(capabilityArgs=["a"]),
    "a namespace that is no text": samples.record(netns=1),
    "another's name": samples.record(containerId="c2"),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "results").mkdir()
    return tmp_path


def test_a_record_tells_what_each_program_is_handed() -> None:
    record = cni_cache.decode(samples.record())
    assert (record.owner, record.checked) == (AttachmentID("net", "c1", "eth0"), True)
    bridge, portmap = (json.loads(record.stdin(plugin)) for plugin in record.plugins)
    assert bridge == {"type": "bridge", "name": "net", "cniVersion": "1.0.0", "prevResult": samples.RESULT}
    assert portmap["runtimeConfig"] == {"portMappings": [{"hostPort": 8080}]}
    environ = record.environ("CHECK", {"PATH": "/bin"}, "/opt/cni/bin")
    assert environ == {
        "PATH": "/bin",
        "CNI_COMMAND": "CHECK",
        "CNI_CONTAINERID": "c1",
        "CNI_NETNS": "/run/netns/c1",
        "CNI_IFNAME": "eth0",
        "CNI_ARGS": "IgnoreUnknown=1;K8S_POD_NAME=web",
        "CNI_PATH": "/opt/cni/bin",
    }


def test_the_recorded_namespace_wins_over_the_results() -> None:
    assert cni_cache.decode(samples.record(netns="/run/netns/own")).netns == "/run/netns/own"


def test_absent_arguments_and_capabilities_are_none() -> None:
    record = cni_cache.decode(samples.record(cniArgs=None, capabilityArgs=None))
    assert (record.arguments, record.capabilities) == ("", {})


def test_the_configuration_of_one_program_is_a_list_of_one() -> None:
    record = cni_cache.decode(samples.record(config={"name": "net", "type": "bridge"}))
    assert [plugin["type"] for plugin in record.plugins] == ["bridge"]


@pytest.mark.parametrize("said", [True, "true", "True"])
def test_a_list_may_disable_check(said: object) -> None:
    assert not cni_cache.decode(samples.record(config={**samples.LIST, "disableCheck": said})).checked


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_what_is_no_record_is_told_and_the_next_is_read(folder: Path, content: bytes) -> None:
    (folder / "results" / "a-c1-eth0").write_bytes(content)
    (folder / "results" / "net-c1-eth0").write_bytes(samples.record())
    wrong, good = cni_cache.read(folder)
    assert isinstance(wrong, cni_cache.Unreadable)
    assert (wrong.file.endswith("a-c1-eth0"), bool(wrong.problem)) == (True, True)
    assert isinstance(good, cni_cache.Record)


def test_no_link_is_followed_and_no_fifo_or_folder_waited_for(folder: Path) -> None:
    (folder / "record").write_bytes(samples.record())
    (folder / "results" / "net-c1-eth0").symlink_to(folder / "record")
    os.mkfifo(folder / "results" / "net-c2-eth0")
    (folder / "results" / "net-c3-eth0").mkdir()
    assert [type(each) for each in cni_cache.read(folder)] == [cni_cache.Unreadable] * 3


def test_a_record_without_end_is_not_read(folder: Path) -> None:
    with (folder / "results" / "net-c1-eth0").open("wb") as file:
        file.truncate(cni_cache.LARGEST + 1)
    (found,) = cni_cache.read(folder)
    assert isinstance(found, cni_cache.Unreadable)
    assert found.problem == "it is larger than 16 MiB"


def test_no_folder_holds_nothing(tmp_path: Path) -> None:
    assert list(cni_cache.read(tmp_path / "none")) == []
