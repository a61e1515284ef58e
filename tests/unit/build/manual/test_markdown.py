"""Claims about the Markdown that is made:

- words of a help text say the same as Markdown, whatever letters are in them; options become code
- a cell may hold what stands between cells
"""

import pytest
from markdown_it import MarkdownIt

from build.manual.markdown import marked, table


@pytest.mark.parametrize("words", ["a * b * c", "_x_ [y](z) <w> `v` & \\ {u}", "DIR[:DIR] of 10.0.0.0/8 ~ 1"])
def test_words_say_the_same(words: str) -> None:
    inline = MarkdownIt("commonmark").parse(marked(words))[1]
    assert [child.type for child in inline.children or ()] == ["text"]
    assert "".join(child.content for child in inline.children or ()) == words


def test_options_become_code() -> None:
    assert marked("with --ip-masq, or -c: one-way") == "with `--ip-masq`, or `-c`: one-way"


def test_a_cell_may_hold_a_bar() -> None:
    assert table(("a", "b"), [("`x|y`", "z")]) == "| a | b |\n| --- | --- |\n| `x\\|y` | z |\n"
