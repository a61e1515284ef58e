"""Claims: docs/daemon.md has a row for each of the twelve rules of sharing an etcd, and every test it names exists."""

import re

from build.programs import ROOT

TEXT = (ROOT / "docs" / "daemon.md").read_text(encoding="utf-8")
SECTION = TEXT.partition("## Beside flanneld in one etcd")[2].partition("\n## ")[0]


def test_every_rule_has_its_row() -> None:
    assert [int(number) for number in re.findall(r"^\| ([0-9]+) \|", SECTION, re.MULTILINE)] == list(range(1, 13))


def test_every_test_that_keeps_a_rule_exists() -> None:
    folder = ROOT / "tests" / "unit" / "overlay"
    known = "".join(
        one.read_text(encoding="utf-8")
        for one in (folder / "test_sharing.py", folder / "stores" / "etcd" / "test_store.py")
    )
    named = set(re.findall(r"`(test_\w+)`", SECTION))
    assert len(named) >= 12
    assert [name for name in named if f"def {name}(" not in known] == []
