"""Claims about what code, tests and pages cite:

- every citation of a page in docs/reference leads to a heading there, or to a numbered item below one
- no source cites a document that is not in the repository
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
REFERENCE = ROOT / "docs" / "reference"
CITED = re.compile(
    r"docs/reference/(?P<page>\w+)\.md(?P<places>(?:,? (?:[0-9]+(?:\.[0-9]+)?|[A-G]\.[0-9]+)(?:\([a-d]\))?(?![\w.]*[/:]))*)"
)
PLACE = re.compile(r"(?:[0-9]+(?:\.[0-9]+)?|[A-G]\.[0-9]+)")
KINDS = (".py", ".c", ".h", ".json", ".md", ".toml", ".sh")


def sources() -> Iterator[Path]:
    """Yield the files that may cite: everything of ours but the reference itself, this test and what is built."""
    for path in ROOT.rglob("*"):
        parts = path.relative_to(ROOT).parts
        if (
            path.suffix not in KINDS
            or parts[0].startswith(".")
            or parts[0] == "dist"
            or path == Path(__file__).resolve()
        ):
            continue
        if parts[:2] != ("docs", "reference") and path.is_file():
            yield path


CITATIONS = sorted(
    {
        (found["page"], place[0])
        for path in sources()
        for found in CITED.finditer(path.read_text(errors="replace"))
        for place in PLACE.finditer(found["places"])
    }
)


def resolves(page: str, place: str) -> bool:
    """Tell whether a page has a heading of this number, or below the chapter's heading an item of it."""
    text = (REFERENCE / f"{page}.md").read_text()
    if re.search(rf"^#+ {re.escape(place)}\.? ", text, re.MULTILINE):
        return True
    chapter, _, item = place.partition(".")
    body = re.search(rf"^(#+) {re.escape(chapter)}\.? .*?(?=^\1 |\Z)", text, re.MULTILINE | re.DOTALL)
    return bool(item and body and re.search(rf"^(?:{item}\. |\| {item} \|)", body[0], re.MULTILINE))


def test_there_are_citations() -> None:
    assert len(CITATIONS) > 50


@pytest.mark.parametrize(("page", "place"), CITATIONS)
def test_a_citation_leads_to_its_place(page: str, place: str) -> None:
    assert (REFERENCE / f"{page}.md").is_file()
    assert resolves(page, place)


def test_no_page_is_cited_that_is_not_there() -> None:
    named = {
        found[1]
        for path in sources()
        for found in re.finditer(r"docs/reference/(\w+)\.md", path.read_text(errors="replace"))
    }
    assert named <= {path.stem for path in REFERENCE.glob("*.md")}


def test_no_citation_has_the_old_form() -> None:
    old = re.compile(r"(?<![\w-])(?:flannel[- ]|cni-)?contract(?:\.md)? (?:section )?[0-9]")
    assert [str(path.relative_to(ROOT)) for path in sources() if old.search(path.read_text(errors="replace"))] == []
