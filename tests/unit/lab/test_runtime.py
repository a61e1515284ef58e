"""Claims about the lab's runtime (docs/reference/cni.md 1.8):

- the list's name and version win over the plugin's own, its other keys pass through
- prevResult is sent when there is one, and only then
- the environment holds the CNI variables and nothing else
- ADD feeds results forward, DEL runs backwards with the last one, and forgets it only when it succeeded
- GC sends the valid attachments under both names
- a refusal carries the members of the error document; no document is told apart
"""

import json
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests.lab.runtime import Attachment, Conflist, PluginError, Runtime
from tests.lab.world import Place

CONFLIST = Conflist("net", "1.0.0", ({"type": "first", "name": "other", "mtu": 1400}, {"type": "second"}))
ONE = Attachment("c1", "/run/netns/c1")

PLUGIN = """#!/bin/sh
cat > "$0.stdin"
echo "$CNI_COMMAND ${0##*/}" >> "${0%/*}/calls"
[ ! -e "$0.refuse" ] || { echo '{"code": 11, "msg": "not now", "details": "later"}'; exit 1; }
echo '{"cniVersion": "1.0.0", "said": "'"${0##*/}"'"}'
"""


@pytest.fixture
def plugins(tmp_path: Path) -> Path:
    for name in ("first", "second"):
        (tmp_path / name).write_text(PLUGIN)
        (tmp_path / name).chmod(0o755)
    return tmp_path


@pytest.fixture
def runtime(plugins: Path) -> Runtime:
    return Runtime(Place("here", ()), CONFLIST, plugins)


def received(plugins: Path, name: str) -> dict[str, object]:
    document: dict[str, object] = json.loads((plugins / f"{name}.stdin").read_text())
    return document


def calls(plugins: Path) -> list[str]:
    return (plugins / "calls").read_text().splitlines()


def test_the_lists_name_and_version_win() -> None:
    sent = json.loads(CONFLIST.request(0, None, {}))

    assert sent == {"type": "first", "name": "net", "cniVersion": "1.0.0", "mtu": 1400}


def test_a_previous_result_is_sent_when_there_is_one() -> None:
    sent = json.loads(CONFLIST.request(1, {"ips": []}, {}))

    assert sent["prevResult"] == {"ips": []}


def test_the_environment_holds_the_cni_variables_only() -> None:
    environment = ONE.environment("ADD", Path("/p"))

    assert sorted(environment) == ["CNI_ARGS", "CNI_COMMAND", "CNI_CONTAINERID", "CNI_IFNAME", "CNI_NETNS", "CNI_PATH"]


def test_add_feeds_the_first_result_to_the_second_plugin(runtime: Runtime, plugins: Path) -> None:
    result = runtime.add(ONE)

    assert received(plugins, "second")["prevResult"] == {"cniVersion": "1.0.0", "said": "first"}
    assert result["said"] == "second"


def test_delete_runs_backwards_with_the_last_result(runtime: Runtime, plugins: Path) -> None:
    runtime.add(ONE)
    runtime.delete(ONE)

    assert calls(plugins) == ["ADD first", "ADD second", "DEL second", "DEL first"]
    assert received(plugins, "first")["prevResult"] == {"cniVersion": "1.0.0", "said": "second"}


def test_a_result_is_forgotten_only_after_a_delete_that_succeeded(runtime: Runtime, plugins: Path) -> None:
    runtime.add(ONE)
    (plugins / "first.refuse").touch()

    with pytest.raises(PluginError, match="first DEL: code 11: not now: later"):
        runtime.delete(ONE)
    assert ("c1", "eth0") in runtime.cache


def test_a_delete_without_a_result_sends_none(runtime: Runtime, plugins: Path) -> None:
    runtime.delete(ONE)

    assert "prevResult" not in received(plugins, "first")


def test_collect_names_the_valid_attachments_twice(runtime: Runtime, plugins: Path) -> None:
    runtime.collect([ONE])

    sent = received(plugins, "first")
    assert sent["cni.dev/valid-attachments"] == sent["cni.dev/attachments"] == [{"containerID": "c1", "ifname": "eth0"}]


def test_no_error_document_is_told_apart() -> None:
    error = PluginError("first", "ADD", CompletedProcess((), 2, "Traceback", "no"))

    assert error.code == -1
    assert "no error document (exit 2)" in error.msg
