"""Claims about mending, on stand-ins for other programs of a chain (ours run in tests/e2e/test_repair.py):

- a program whose CHECK succeeds is not asked for anything else
- one that keeps rules and misses some is asked for ADD, with what libcni remembers, and judged again; without `change` it is not
- what CHECK finds wrong with any other program is left to a person, and so is what stays wrong, or cannot be judged
"""

import json
from pathlib import Path

import pytest

from cli.repair import cni_cache
from cli.repair.restore import Part, Runner, State
from tests.unit.cli.repair import samples

PROGRAM = """#!/bin/sh
echo "$CNI_COMMAND" >>{log}
cat >{log}.stdin
[ "$CNI_COMMAND" = ADD ] && {{ touch {log}.made; echo '{{"cniVersion": "1.0.0"}}'; exit; }}
{rule}
echo '{{"code": 102, "msg": "rules are missing", "remedy": "a hint"}}'; exit 1
"""
WHOLE, MENDABLE, HOPELESS = "exit 0", "[ -e {log}.made ] && exit 0", ":"


def part(folder: Path, program: str, rule: str, *, change: bool = True) -> tuple[Part, list[str]]:
    log = folder / "calls"
    script = folder / program
    script.write_text(PROGRAM.format(log=log, rule=rule.format(log=log)))
    script.chmod(0o755)
    record = cni_cache.decode(samples.record(config={"name": "net", "plugins": [{"type": program}]}))
    (found,) = Runner({"PATH": "/usr/bin:/bin"}, str(folder)).parts(record, change=change)
    return found, log.read_text().split()


def test_what_stands_is_not_touched(tmp_path: Path) -> None:
    assert part(tmp_path, "portmap", WHOLE) == (Part("portmap", State.STANDS), ["CHECK"])


@pytest.mark.parametrize("program", ["portmap", "firewall"])
def test_missing_rules_are_added_and_judged_again(tmp_path: Path, program: str) -> None:
    found, calls = part(tmp_path, program, MENDABLE)
    assert (found, calls) == (Part(program, State.REPAIRED, "rules are missing"), ["CHECK", "ADD", "CHECK"])
    assert json.loads((tmp_path / "calls.stdin").read_text())["prevResult"] == samples.RESULT


def test_without_change_nothing_is_added(tmp_path: Path) -> None:
    found, calls = part(tmp_path, "portmap", MENDABLE, change=False)
    assert (found, calls) == (Part("portmap", State.MISSING, "rules are missing: a hint"), ["CHECK"])


def test_what_stays_wrong_is_left_to_a_person(tmp_path: Path) -> None:
    found, calls = part(tmp_path, "portmap", HOPELESS)
    assert (found.state, calls) == (State.BROKEN, ["CHECK", "ADD", "CHECK"])
    assert "start the container again" in found.said


def test_another_program_is_never_asked_for_add(tmp_path: Path) -> None:
    found, calls = part(tmp_path, "macvlan", MENDABLE)
    assert (found.state, calls, "start the container again" in found.said) == (State.BROKEN, ["CHECK"], True)


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    record = cni_cache.decode(samples.record())
    bridge, portmap = Runner({}, str(tmp_path)).parts(record, change=True)
    assert (bridge.state, portmap.state) == (State.BROKEN, State.BROKEN)
    assert bridge.said.startswith('failed to find plugin "bridge" in path')
