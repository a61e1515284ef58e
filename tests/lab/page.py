"""Reads a page of docs/ whose commands are run as they stand: each block, where it is typed, and what is printed then.

A block is fenced. Behind `sh` its opening line says where: `first`, `second`, `both`, or a place no test has; then, for some, the
kinds of machine it is for, or `fails`. A block `text` right behind it is what it prints, with `...` for what differs. Pure: must not
run anything.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

FENCE = re.compile(r"^```(?P<head>[^\n]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
LOG = re.compile(r'^time="[^"]*" level=.*\n', re.MULTILINE)
HOSTS: Mapping[str, tuple[str, ...]] = {"first": ("first",), "second": ("second",), "both": ("first", "second")}


@dataclass(frozen=True, slots=True)
class Block:
    """Commands: the line they begin at, the hosts they are typed on, further words of the opening line, what is printed."""

    line: int
    hosts: tuple[str, ...]
    words: tuple[str, ...]
    script: str
    says: str = ""

    @property
    def fails(self) -> bool:
        """Whether the last command is to end with another code than 0."""
        return "fails" in self.words

    def is_for(self, kind: str) -> bool:
        """Tell whether the block is for this kind of machine: it is for all where it names none."""
        kinds = set(self.words) - {"fails"}
        return not kinds or kind in kinds

    def agrees(self, said: str) -> bool:
        """Tell whether what was said is what the page shows; a page that shows nothing agrees.

        Lines of a runtime's own log are nobody's claim: nerdctl complains now and then that a container it has waited for is gone.
        """
        wanted = ".*".join(map(re.escape, self.says.strip().split("...")))
        return not self.says or re.fullmatch(wanted, LOG.sub("", said).strip(), re.DOTALL) is not None


def read(path: Path, names: Mapping[str, str]) -> tuple[Block, ...]:
    """Return the page's blocks of commands in their order, each placeholder of `names` replaced; ValueError where one says no place."""
    text = path.read_text()
    for placeholder, name in names.items():
        text = text.replace(placeholder, name)
    return tuple(_blocks(path, text))


def _blocks(path: Path, text: str) -> Iterator[Block]:
    found = list(FENCE.finditer(text))
    for match, following in zip_longest(found, found[1:]):
        kind, *words = match["head"].split() or [""]
        if kind != "sh":
            continue
        if not words or words[0] not in HOSTS:
            raise ValueError(f"{path}: a block does not say where it is typed: {match['body'].splitlines()[0]}")
        answers = following is not None and following["head"] == "text"
        gap = text[match.end() : following.start()].strip() if following else "-"
        says = following["body"] if following and answers and not gap else ""
        line = text.count("\n", 0, match.start()) + 2
        yield Block(line, HOSTS[words[0]], tuple(words[1:]), match["body"], says)
