"""Claims about printing what others wrote: printable text of any script is as it is; whatever a terminal would obey is shown as an escape;
what an encoding does not have is no traceback."""

import io

import pytest

from cli import plain


@pytest.mark.parametrize("text", ["", "plain", "zwei\nZeilen\tmit Ümläuten ├── ✓\n", "日本語"])
def test_what_can_be_read_is_as_it_is(text: str) -> None:
    assert plain.plain(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J", r"\x1b[2J"),
        ("a\rb", r"a\rb"),
        ("\x9b31m", r"\x9b31m"),
        ("\x07\x08\x7f\0", r"\x07\x08\x7f\x00"),
        ("abc\u202egpj", r"abc\u202egpj"),
        ("\ud800", r"\ud800"),
        ("\u2028", r"\u2028"),
    ],
)
def test_what_a_terminal_would_obey_is_shown(text: str, shown: str) -> None:
    assert plain.plain(text) == shown


def test_what_an_encoding_lacks_is_written_as_an_escape() -> None:
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    plain.Plain(out).write("├ x\n")
    out.flush()
    assert out.buffer.getvalue() == b"\\u251c x\n"


def test_a_long_line_goes_on_below_where_its_text_began() -> None:
    text = (
        "ok       store            whether the store answers, and each of its entries\n"
        "         saw: nothing comes back through the tunnel from there"
    )
    assert plain.fitted(text, 50).splitlines() == [
        "ok       store            whether the store",
        "                          answers, and each of its",
        "                          entries",
        "         saw: nothing comes back through the",
        "              tunnel from there",
    ]
    assert plain.fitted(text, 200) == text
