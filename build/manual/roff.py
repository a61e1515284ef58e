"""Turns Markdown into a manual page, with macros of man(7) that groff and mandoc both read without a warning.

markdown-it-py parses it. A table becomes a list by its first column, because a terminal is too narrow for our docs'
tables; other tools (go-md2man, lowdown, pandoc) keep them as wide as they are. Images, quotations and nested lists,
which our docs do not have, are refused.
"""

import re
from collections.abc import Callable, Iterator, Mapping

from markdown_it import MarkdownIt
from markdown_it.tree import SyntaxTreeNode as Node

REFERENCE = re.compile(r"\b([a-z][\w.-]*)(\([1-8]\))")
"""The name of a page: name(section)."""

UNLABELLED = ("", "meaning", "means", "content")
"""Headings of columns that need not be written."""

LONG = re.compile(r"\S{50,}")

SHORT = 60
"""How many characters of a row's properties fit on one line."""

Linked = Callable[[str, str], str]
"""Returns what replaces a link, in Markdown, from its target and its words."""


class UnknownFormError(Exception):
    """Markdown that cannot become a page yet."""


def spell(markdown: str, linked: Linked = lambda _, words: words) -> str:
    """Return the body of a page. `## ` begins a section, `### ` a part of one. Raises UnknownFormError."""
    tree = Node(MarkdownIt("commonmark").enable("table").parse(markdown))
    return "".join(f"{line}\n" for line in _Speller(linked).blocks(tree))


def header(name: str, section: int, date: str, version: str) -> str:
    """Return the first lines of a page. Names are not hyphenated, and lines with long paths not stretched."""
    return f'.TH {plain(name.upper())} {section} "{date}" "tulle {plain(version)}" "tulle"\n.nr HY 0\n.nh\n.ad l\n'


def plain(text: str) -> str:
    """Return text without requests and escapes. A hyphen that begins a word is an option's."""
    return _ascii(re.sub(r"(?<![\w-])-|(?<=-)-", r"\\-", text.replace("\\", r"\e")))


def literal(text: str) -> str:
    """Return text that is shown letter by letter, to be typed or copied."""
    escaped = text.replace("\\", r"\e")
    for letter, name in {"-": r"\-", "'": r"\(aq", "`": r"\(ga", "^": r"\(ha", "~": r"\(ti"}.items():
        escaped = escaped.replace(letter, name)
    return _ascii(escaped)


def _ascii(text: str) -> str:
    return "".join(letter if letter.isascii() else rf"\[u{ord(letter):04X}]" for letter in text)


def _breakable(text: str) -> str:
    """Return words that may be longer than a line, as lists of paths are, with places where they may be broken."""
    return LONG.sub(lambda word: re.sub(r"(?<=,)|(?<=:)(?=/\w)", r"\\:", word[0]), text)


def _no_request(line: str) -> str:
    return rf"\&{line}" if line.startswith((".", "'")) else line


class _Speller:
    """Walks through a page.

    `fresh` means that a heading or an item has just begun, where a paragraph needs no macro.
    """

    def __init__(self, linked: Linked) -> None:
        self._linked = linked
        self._fresh = True

    def blocks(self, parent: Node) -> Iterator[str]:
        for node in parent.children:
            if node.type not in self.FORMS:
                raise UnknownFormError(f"line {(node.map or (0,))[0] + 1}: no form for {node.type}")
            yield from self.FORMS[node.type](self, node)

    def _heading(self, node: Node) -> Iterator[str]:
        words = " ".join(self._lines(node))
        yield f'.SH "{words.upper()}"' if node.tag == "h2" else f'.SS "{words}"'
        self._fresh = True

    def _paragraph(self, node: Node) -> Iterator[str]:
        yield from () if self._fresh else (".PP",)
        yield from self._lines(node)
        self._fresh = False

    def _code(self, node: Node) -> Iterator[str]:
        yield from () if self._fresh else (".PP",)
        yield from (".in +4n", ".EX")
        yield from (_no_request(literal(line)) for line in node.content.rstrip("\n").split("\n"))
        yield from (".EE", ".in")
        self._fresh = False

    def _list(self, node: Node) -> Iterator[str]:
        for number, item in enumerate(node.children, start=1):
            yield rf'.IP "{number}." 4' if node.type == "ordered_list" else r".IP \(bu 2"
            for part, block in enumerate(item.children):
                if block.type != "paragraph":
                    raise UnknownFormError(f"line {(block.map or (0,))[0] + 1}: no form for {block.type} in a list")
                yield from (".IP",) if part else ()
                yield from self._lines(block)
        self._fresh = False

    def _table(self, node: Node) -> Iterator[str]:
        head, *bodies = node.children
        first, *names = (" ".join(self._lines(cell)) for cell in head.children[0].children)
        if "\\fB" in first:  # a key or an option, of which the rows are values
            yield from (*(() if self._fresh else (".PP",)), f"{first}:")
        for row in (row for body in bodies for row in body.children):
            tag, *cells = (" ".join(self._lines(cell)) for cell in row.children)
            said = list(_properties(names, cells))
            yield from (".TP", tag or r"\&", *([".br"] if len(cells) > 1 else []), *(said or [r"\&"]))
        self._fresh = False

    FORMS: Mapping[str, Callable[["_Speller", Node], Iterator[str]]] = {
        "heading": _heading,
        "paragraph": _paragraph,
        "fence": _code,
        "code_block": _code,
        "bullet_list": _list,
        "ordered_list": _list,
        "table": _table,
    }

    def _lines(self, node: Node) -> list[str]:
        """Return the lines of a block's words."""
        lines = "".join(self._inline(each) for each in node.children).split("\n")
        return [_no_request(line.strip()) for line in lines if line.strip()]

    def _inline(self, node: Node) -> str:
        if node.type == "code_inline":
            return rf"\fB{_breakable(literal(node.content))}\fR"
        if node.type in ("softbreak", "hardbreak"):
            return "\n"
        if node.type == "link":
            return self._inline(_parsed(self._linked(str(node.attrs["href"]), _words(node))))
        if node.type == "text":
            return REFERENCE.sub(lambda found: rf"\fB{literal(found[1])}\fR{found[2]}", _breakable(plain(node.content)))
        within = "".join(self._inline(each) for each in node.children)
        return {"strong": rf"\fB{within}\fR", "em": rf"\fI{within}\fR", "inline": within}[node.type]


def _parsed(markdown: str) -> Node:
    """Return the words of one line of Markdown."""
    return Node(MarkdownIt("commonmark").parse(markdown)).children[0].children[0]


def _words(node: Node) -> str:
    """Return the Markdown of a heading's or a link's words: text and code."""
    if node.type == "code_inline":
        return f"`{node.content}`"
    return node.content if node.type == "text" else "".join(_words(each) for each in node.children)


def _properties(names: list[str], cells: list[str]) -> Iterator[str]:
    """Yield what a row says after its first column, with the column's name where it is not clear without."""
    told = [(name, cell) for name, cell in zip(names, cells, strict=True) if cell]
    if len(names) == 1:
        yield from (cell for _, cell in told)
        return
    labelled = [f"{name}: {cell}" for name, cell in told if name not in UNLABELLED]
    shortly = "; ".join(labelled)
    lines = [shortly] if labelled and len(shortly) <= SHORT else labelled
    lines += [cell for name, cell in told if name in UNLABELLED]
    yield from (line for at, each in enumerate(lines) for line in ([".br"] if at else []) + [_no_request(each)])
