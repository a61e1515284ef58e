"""Claims: the page on compatibility answers every row of the collection, and what it names as proof exists."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "compatibility.md").read_text()


def test_every_row_is_answered() -> None:
    rows = re.findall(r"^\| ([0-9]+) \| ([^|]+) \| ([^|]+) \|", PAGE, re.MULTILINE)
    assert [int(number) for number, _, answer in rows if answer.strip()] == list(range(1, 31))


def test_every_test_named_exists() -> None:
    named = set(re.findall(r"tests/[a-z0-9_/]+", PAGE))
    assert [name for name in named if not (ROOT / name).is_dir() and not (ROOT / f"{name}.py").is_file()] == []


def test_every_table_of_vectors_named_exists() -> None:
    named = {
        name
        for group in re.findall(r"vectors ((?:`[a-z-]+`(?:, | and )?)+)", PAGE)
        for name in re.findall(r"`([a-z-]+)`", group)
    }
    kept = {path.stem for path in (ROOT / "tests" / "vectors").glob("*.json")}
    assert named
    assert named <= kept
