"""Claims about pages whose commands are run:

- blocks come in the page's order with line, hosts and what is printed; placeholders are replaced in both
- a block that names kinds of machine is for these alone, one without is for all; `...` stands for anything
- a block that does not say where it is typed is refused, and so is every page of docs/ with one
"""

from pathlib import Path

import pytest

from tests.lab import page
from tests.lab.daemon import ROOT
from tests.lab.page import Block

TEXT = """# A page

```sh both
tulle join HOST
```

Some words.

```sh first driver containerd
podman run IMAGE
```

```text
... answers in ... ms
HOST
```

```json
{}
```

```sh second fails
tulle doctor
```
"""


@pytest.fixture
def blocks(tmp_path: Path) -> tuple[Block, ...]:
    (tmp_path / "page.md").write_text(TEXT)
    return page.read(tmp_path / "page.md", {"HOST": "192.0.2.1"})


def test_blocks_are_read_in_order(blocks: tuple[Block, ...]) -> None:
    assert [(one.line, one.hosts, one.script) for one in blocks] == [
        (4, ("first", "second"), "tulle join 192.0.2.1\n"),
        (10, ("first",), "podman run IMAGE\n"),
        (23, ("second",), "tulle doctor\n"),
    ]
    assert [one.says for one in blocks] == ["", "... answers in ... ms\n192.0.2.1\n", ""]
    assert [one.fails for one in blocks] == [False, False, True]


def test_a_block_may_be_for_some_kinds_of_machine(blocks: tuple[Block, ...]) -> None:
    assert [[one.is_for(kind) for one in blocks] for kind in ("driver", "cni")] == [
        [True, True, True],
        [True, False, True],
    ]


def test_dots_stand_for_anything(blocks: tuple[Block, ...]) -> None:
    assert blocks[1].agrees("a\nb answers in 0.2 ms\n192.0.2.1\n")
    assert not blocks[1].agrees("a answers in 0.2 ms\n192.0.2.2\n")
    assert blocks[0].agrees("whatever")


def test_a_block_says_where_it_is_typed(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text("```sh\nls\n```\n")
    with pytest.raises(ValueError, match=r"page.md: a block does not say where it is typed: ls"):
        page.read(tmp_path / "page.md", {})


@pytest.mark.parametrize("path", sorted((ROOT / "docs").rglob("*.md")), ids=lambda path: path.stem)
def test_every_page_says_where_its_blocks_are_typed(path: Path) -> None:
    page.read(path, {})


def test_lines_of_a_runtimes_own_log_are_no_claim() -> None:
    block = page.Block(1, ("first",), (), "true\n", "hello\nagain\n")
    assert block.agrees('hello\ntime="2026-01-01T00:00:00Z" level=error msg="gone"\nagain\n')
    assert not block.agrees("hello\nwarning\nagain\n")
