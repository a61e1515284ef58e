"""Claims about what runtimes find: configurations in the order of their names, the programs of ours with those they run."""

import json
import os
from pathlib import Path

import pytest

from build.programs import ROOT
from cli.inspect import cni_configs
from cli.inspect.cni_configs import Runtime


def test_the_shipped_configuration_is_seen_with_its_lease_file_and_programs(tmp_path: Path) -> None:
    for name in ("bridge", "host-local"):
        (tmp_path / name).touch()
    seen = cni_configs.look(Runtime("x", str(ROOT / "conf"), ("/no/such", str(tmp_path))))
    first = seen.conflists[0]
    assert (first.name, first.lease_files, first.wires_by_bridge) == (
        "tulle",
        frozenset(["/run/flannel/subnet.env"]),
        True,
    )
    assert (seen.programs["bridge"], seen.programs["portmap"]) == (str(tmp_path / "bridge"), "")


def test_a_network_without_a_lease_file_is_somebody_else_s(tmp_path: Path) -> None:
    document = {"name": "other", "plugins": [{"type": "bridge", "ipam": {"type": "host-local"}}]}
    (tmp_path / "1.conflist").write_text(json.dumps(document))
    seen = cni_configs.look(Runtime("x", str(tmp_path), ()))
    assert (seen.conflists[0].wires_by_bridge, seen.programs) == (False, {})


def test_files_that_are_no_configuration_are_told_by_their_problem(tmp_path: Path) -> None:
    for name, text in (("1.conflist", "{"), ("2.conf", "[]"), ("3.conflist", '{"plugins": 5}'), ("4.txt", "{}")):
        (tmp_path / name).write_text(text)
    found = cni_configs.look(Runtime("x", str(tmp_path), ())).conflists
    assert [bool(one.problem) for one in found] == [True, True, True]


def test_a_directory_that_is_absent_is_an_empty_one() -> None:
    assert cni_configs.look(Runtime("x", "/no/such/directory", ())).conflists == ()


def test_a_directory_that_is_named_stands_for_the_runtime_and_has_to_be_there(tmp_path: Path) -> None:
    (found,) = cni_configs.installed(str(tmp_path), [str(tmp_path)])
    assert (found.conf_dir, found.bin_dirs) == (str(tmp_path), (str(tmp_path),))
    with pytest.raises(NotADirectoryError, match="there is no directory /no/such"):
        cni_configs.installed("", ["/no/such"])


def test_a_network_driver_is_seen_where_the_runtime_looks_for_it(tmp_path: Path) -> None:
    (tmp_path / "tulle").touch()
    seen = cni_configs.look(Runtime("x", "/no/such/directory", (), ("/no/such", str(tmp_path))))
    assert seen.driver == str(tmp_path / "tulle")


def test_whatever_lies_in_the_directory_ends_in_a_problem_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "1.conf")
    (tmp_path / "2.json").symlink_to("/dev/zero")
    (tmp_path / "3.json").symlink_to(tmp_path)
    (tmp_path / "4.json").symlink_to(tmp_path / "4.json")
    (tmp_path / "5.json").write_text("[" * 100_000)
    (tmp_path / "6.json").write_bytes(b"\xff")
    (tmp_path / "7.json").write_text('{"plugins": [{"type": "' + "x" * 300 + '", "subnetFile": "/l"}]}')
    seen = cni_configs.look(Runtime("x", str(tmp_path), (str(tmp_path),)))
    assert [bool(one.problem) for one in seen.conflists] == [True] * 6 + [False]
    assert seen.programs == {"x" * 300: ""}
