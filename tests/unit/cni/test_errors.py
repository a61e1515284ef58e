"""Claims: an error reads as one sentence; it can be raised through a `with` block; quoting is Go's %q, not Python's repr."""

from contextlib import ExitStack

import pytest

from cni.errors import CniError, Code, quoted


@pytest.mark.parametrize(("details", "told"), [("", "taken: wait"), ("by c1", "taken: by c1: wait")])
def test_details_and_remedy_follow_the_message(details: str, told: str) -> None:
    assert str(CniError(Code.CONFLICT, "taken", "wait", details=details)) == told


def test_without_both_the_message_stands_alone() -> None:
    assert str(CniError(Code.INVALID_CONFIG, "missing network name")) == "missing network name"


def test_the_code_is_a_plain_number() -> None:
    assert type(CniError(Code.TRY_AGAIN_LATER, "").code) is int


def test_an_error_leaves_a_with_block_with_its_traceback() -> None:
    refused = CniError(Code.CONFLICT, "taken")
    with pytest.raises(CniError) as caught, ExitStack():
        raise refused
    assert caught.value is refused
    assert refused.__traceback__ is not None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", '"plain"'),
        ("", '""'),
        ('say "hi"', r'"say \"hi\""'),
        ("it's", '"it\'s"'),
        ("a\\b", r'"a\\b"'),
        ("\a\b\f\n\r\t\v", r'"\a\b\f\n\r\t\v"'),
        ("\x00\x1b\x7f", r'"\x00\x1b\x7f"'),
        ("grün 日本", '"grün 日本"'),
        ("\u200b\ud800", r'"\u200b\ud800"'),
        ("\U000e0001", r'"\U000e0001"'),
    ],
)
def test_quoting_follows_go(text: str, expected: str) -> None:
    assert quoted(text) == expected
