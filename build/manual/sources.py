"""Knows which manual pages there are and puts their text together: what is peculiar to a page stands in `pages/`, the rest comes from docs/.

In a source a line `{WORD ARGUMENT}` stands for what a parser, a schema or the docs say:

    {synopsis COMMAND}  {options COMMAND}  {about COMMAND}  {ending COMMAND}  {commands}  {variables}
    {keys SCHEMA}  {purpose PROGRAM}  {file PATH}
    {from DOC}  {from DOC: HEADING}       the words before the first heading; those below one
    {rest DOC}  {rest DOC: HEADING, ...}  all sections with their headings, but for these

A CNI program has no source of its own: `program.md` is every program's. Must not know roff's macros.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from build.manual import commands, schemas
from build.programs import ROOT, BuildError
from catalogue import CNI
from cni import release

HERE = Path(__file__).resolve().parent / "pages"
DOCS = ROOT / "docs"
TEMPLATE = HERE / "program.md"
DATE = "2026-11-21"
"""When the manual was last looked through as a whole; it belongs to a release."""

MARK = "Part of tulle:"
ELSEWHERE = {"daemon": "tulled(8)", "podman": "tulle-netavark(8)"}
"""Docs whose page is not called like them."""

WORD = re.compile(r"\{([a-z]+)(?: ([^{}\n]+))?\}")
TITLE = re.compile(r"# ([a-z.-]+)\(([1-8])\) - (.+)\n")


class SourceError(BuildError):
    """A source that no page can be made of; the text names it and the line."""


@dataclass(frozen=True, slots=True, order=True)
class Page:
    """One page: made by `text()` when it is asked for."""

    name: str
    section: int

    @property
    def reference(self) -> str:
        """How other pages name it."""
        return f"{self.name}({self.section})"

    @property
    def place(self) -> Path:
        """Where it lies below PREFIX."""
        return Path("share", "man", f"man{self.section}", f"{self.name}.{self.section}.gz")

    def markdown(self) -> str:
        """Return the page with its title; raises SourceError."""
        source = HERE / f"{self.name}.{self.section}.md"
        if source.exists():
            return _expanded(source.read_text(), source.name)
        program = CNI[self.name.removeprefix("tulle-")]
        text = TEMPLATE.read_text().replace("PAGE", program.page).replace("PROGRAM", program.name)
        return _expanded(text, TEMPLATE.name)

    def text(self) -> str:
        """Return the page in roff; raises SourceError."""
        from build.manual import roff  # noqa: PLC0415 - who only takes pages away needs no Markdown

        markdown = self.markdown()
        title = TITLE.match(markdown)
        if title is None or (title[1], int(title[2])) != (self.name, self.section):
            raise SourceError(f"{self.reference}: its source has to begin with '# {self.reference} - SUMMARY'")
        body = f"## Name\n\n{self.name} - {title[3]}\n\n{markdown[title.end() :]}"
        try:
            spelled = roff.spell(body, self._linked)
        except roff.UnknownFormError as unknown:
            raise SourceError(f"{self.reference}: {unknown}") from unknown
        made = f'.\\" {MARK} made by build/manual of docs, parsers and schemas; changes belong there.\n'
        return made + roff.header(self.name, self.section, DATE, release.version()) + spelled

    def _linked(self, target: str, words: str) -> str:
        """Return what stands for a link: the page that says what the linked doc says, or just the words."""
        page = page_of(target)
        if page in ("", self.reference):
            return words
        called = words.replace("`", "").replace(" ", "-")
        name = page.partition("(")[0]
        return page if called in (name, name.removeprefix("tulle-")) else f"{words}, {page}"


def pages() -> tuple[Page, ...]:
    """Return every page, by name."""
    written = (source.name.split(".")[:-2] + source.name.split(".")[-2:-1] for source in HERE.glob("*.[1-8].md"))
    own = [Page(".".join(parts[:-1]), int(parts[-1])) for parts in written]
    return tuple(sorted([*own, *(Page(f"tulle-{name}", 8) for name in CNI)]))


def page_of(target: str) -> str:
    """Return the reference of the page that tells what a doc does, by a link to it; empty for none."""
    stem = Path(target.partition("#")[0]).stem
    names = {page.name: page.reference for page in pages()}
    return ELSEWHERE.get(stem) or names.get(f"tulle-{stem}", "")


def _expanded(source: str, name: str) -> str:
    def found(word: re.Match[str]) -> str:
        try:
            return TELLERS[word[1]](word[2] or "")
        except (KeyError, OSError, ValueError) as wrong:
            line = source.count("\n", 0, word.start()) + 1
            raise SourceError(f"build/manual/pages/{name}, line {line}: {word[0]}: {wrong!r}") from wrong

    return WORD.sub(found, source)


def _from(asked: str) -> str:
    doc, _, heading = asked.partition(": ")
    parts = _sections(doc)
    if not heading:
        return parts[0][1]
    return (
        next(body for title, body in parts if title.lstrip("# ") == heading) if _has(parts, heading) else _none(asked)
    )


def _rest(asked: str) -> str:
    doc, _, but = asked.partition(": ")
    left_out = but.split(", ") if but else []
    parts = [each for each in _sections(doc)[1:] if each[0].startswith("## ")]
    for heading in left_out:
        if not _has(parts, heading):
            _none(f"{doc}: {heading}")
    return "".join(f"{title}\n{body}" for title, body in parts if title.lstrip("# ") not in left_out)


def _has(parts: list[tuple[str, str]], heading: str) -> bool:
    return any(title.lstrip("# ") == heading for title, _ in parts)


def _none(asked: str) -> str:
    raise ValueError(f"the docs have no {asked}")


def _sections(doc: str) -> list[tuple[str, str]]:
    """Return a doc's headings, each with what is below it, deeper headings too; first the words before any."""
    text = (DOCS / doc).read_text()
    fences = [match.span() for match in re.finditer(r"^```.*?^```$", text, flags=re.MULTILINE | re.DOTALL)]
    marks = [
        match
        for match in re.finditer(r"^(#+) .+$", text, flags=re.MULTILINE)
        if not any(start < match.start() < end for start, end in fences)
    ]
    found = [("", text[marks[0].end() : marks[1].start() if len(marks) > 1 else len(text)])]
    for at, mark in enumerate(marks[1:], start=1):
        deeper = (other.start() for other in marks[at + 1 :] if len(other[1]) <= len(mark[1]))
        found.append((mark[0], text[mark.end() : next(deeper, len(text))]))
    return found


def _file(path: str) -> str:
    lines = (ROOT / path).read_text().splitlines()
    return "\n".join(f"    {line}".rstrip() for line in lines)


TELLERS: Mapping[str, Callable[[str], str]] = {
    "synopsis": commands.synopsis,
    "options": commands.options,
    "about": commands.about,
    "ending": commands.ending,
    "commands": commands.commands,
    "variables": commands.variables,
    "keys": schemas.keys,
    "purpose": commands.purpose,
    "file": _file,
    "from": _from,
    "rest": _rest,
}
