"""Claims about the pages that lead a reader through the code:

- every file and folder they name exists, but for those with NAME in it, which the reader makes
- every function, method and constant they name stands in a file that the same line names
- the tree and the picture of imports in docs/architecture.md are those of pyproject.toml
"""

import ast
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PAGES = ["daemon-internals.md", "first-change.md", "architecture.md"]
LINES = [
    pytest.param(line, id=f"{page}:{number}")
    for page in PAGES
    for number, line in enumerate((ROOT / "docs" / page).read_text().splitlines(), 1)
    if "`" in line and not line.startswith("    ")
]
FOLDERS = {path.name for path in ROOT.iterdir() if path.is_dir()}
PLACE = re.compile(r"[\w.-]+(?:/[\w.-]+)*/?\Z")
NAME = re.compile(r"(?:([\w.]+)\(\)|([A-Z][A-Z_]{2,}))\Z")
OTHERS = {"PATH", "NAME"}


def quoted(line: str) -> list[str]:
    """Return what a line of Markdown has between backticks."""
    return re.findall(r"`([^`]+)`", line)


def places(line: str) -> list[str]:
    """Return the files and folders of the repository that a line names; folders end with a slash."""
    return [
        word
        for word in quoted(line)
        if PLACE.match(word) and "NAME" not in word and ("/" in word and word.partition("/")[0] in FOLDERS)
    ]


def defined(path: Path) -> set[str]:
    """Return what a module defines: functions, classes, constants, and Class.method."""
    found: set[str] = set()
    for node in ast.parse(path.read_text()).body:
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                found.add(name)
            case ast.ClassDef(name=name, body=body):
                members = [one for one in body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)]
                found |= {name, *(f"{name}.{one.name}" for one in members)}
            case ast.Assign(targets=targets):
                found |= {one.id for target in targets for one in ast.walk(target) if isinstance(one, ast.Name)}
            case ast.AnnAssign(target=ast.Name(id=name)):
                found.add(name)
            case _:
                pass
    return found


@pytest.mark.parametrize("line", LINES)
def test_what_a_line_names_exists(line: str) -> None:
    named = places(line)
    assert [place for place in named if not (ROOT / place).exists()] == []

    known = set().union(*(defined(ROOT / place) for place in named if place.endswith(".py")))
    names = [found[1] or found[2] for word in quoted(line) if (found := NAME.match(word))]
    assert [name for name in names if name not in known | OTHERS] == []


@pytest.mark.parametrize(
    ("page", "least"), [("daemon-internals.md", 40), ("first-change.md", 30), ("architecture.md", 20)]
)
def test_a_page_names_files(page: str, least: int) -> None:
    text = (ROOT / "docs" / page).read_text()
    assert sum(len(places(line)) for line in text.splitlines()) >= least


def test_the_picture_of_imports_is_the_import_contract() -> None:
    rules = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    layers = [set(layer.split(" | ")) for layer in rules["contracts"][0]["layers"]]

    text = (ROOT / "docs" / "architecture.md").read_text()
    picture = text.partition("## Who may import whom")[2].split("```")[1]
    drawn = [set(line.split()) for line in picture.splitlines() if re.search("[a-z]", line)]

    assert drawn == layers
    assert [name for name in rules["root_packages"] if f"\n| `{name}/` |" not in text] == []
