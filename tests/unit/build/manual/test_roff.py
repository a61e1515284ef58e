"""Claims about pages in roff:

- sections, paragraphs, lists and code have their macros, and no paragraph begins right behind a heading
- a table is a list of its first column: short properties on one line, with their names where these are not clear without
- where the first column's name is a key or an option it is said; a long list of paths may end a line
- no letter of the text becomes a request or an escape; code arrives as it was, options can be copied; everything is ASCII
- a page that is named is bold; a link is what the caller makes of it
- a form that our docs do not have is refused with its line
"""

import subprocess

import pytest

from build.manual import roff


def body(markdown: str) -> list[str]:
    return roff.spell(markdown).splitlines()


def test_blocks_have_their_macros() -> None:
    assert body("## The way\n\none\ntwo\n\nthree\n\n### Part\n\n* a\n* b\n\n1. c") == [
        '.SH "THE WAY"',
        *("one", "two", ".PP", "three", '.SS "Part"'),
        *(r".IP \(bu 2", "a", r".IP \(bu 2", "b", '.IP "1." 4', "c"),
    ]  # fmt: skip


def test_code_arrives_as_it_was() -> None:
    code = "a\\b 'c' `d` ^~ --flag-x\n.PP\n  \"two\" \u2500\u25b6 \u2026"
    page = roff.header("x", 1, "2026-01-01", "0") + roff.spell(f"## S\n\n```\n{code}\n```\n")
    assert page.isascii()
    shown = subprocess.run(
        ["mandoc", "-T", "utf8", "-O", "width=100"], input=page, capture_output=True, text=True, check=True
    ).stdout
    assert all(f"           {line}\n" in shown for line in code.split("\n"))


def test_a_table_is_a_list_of_its_first_column() -> None:
    assert body("## S\n\n| flag | about |\n|---|---|\n| `-a` | x |\n| `-b` | |")[1:] == [
        *(".TP", r"\fB\-a\fR", "x"),
        *(".TP", r"\fB\-b\fR", r"\&"),
    ]  # fmt: skip


def test_short_properties_share_a_line() -> None:
    rows = f"| key | type | default | meaning |\n|---|---|---|---|\n| `a` | bool | false | m |\n| b | bool | {'x' * 60} | m |"
    assert body(f"## S\n\n{rows}")[1:] == [
        *(".TP", r"\fBa\fR", ".br", "type: bool; default: false", ".br", "m"),
        *(".TP", "b", ".br", "type: bool", ".br", f"default: {'x' * 60}", ".br", "m"),
    ]


def test_options_that_rows_are_values_of_are_named() -> None:
    rows = "|---|---|\n| a | x |"
    assert body(f"## S\n\n| `--store` | for |\n{rows}")[1:4] == [r"\fB\-\-store\fR:", ".TP", "a"]
    assert body(f"## S\n\n| key | in `b` | for |\n{rows.replace('|---', '|---|---', 1)} y |")[3:] == [
        *(".br", r"in \fBb\fR: x; for: y"),
    ]


def test_long_lists_may_end_a_line() -> None:
    paths = "/usr/local/libexec/cni:/usr/local/lib/cni:/opt/cni/bin"
    assert body(f"## S\n\n`{paths}` {paths}")[1] == rf"\fB{paths}\fR {paths}".replace(":", r":\:")


def test_text_is_no_request() -> None:
    assert body("## S\n\n.PP is text,\n'so is this, and \\\\fB too: --ip-masq")[1:] == [
        r"\&.PP is text,",
        r"\&'so is this, and \efB too: \-\-ip-masq",
    ]


def test_a_page_that_is_named_is_bold() -> None:
    assert body("## S\n\nsee flock(2), *x*, **y** and f(x)")[1:] == [
        r"see \fBflock\fR(2), \fIx\fR, \fBy\fR and f(x)",
    ]


def test_a_link_is_what_the_caller_makes_of_it() -> None:
    spelled = roff.spell("## S\n\n[`the` docs](docs/a.md#b)", lambda target, words: f"{words} at {target}, tulle(1)")
    assert spelled.splitlines()[1] == r"\fBthe\fR docs at docs/a.md#b, \fBtulle\fR(1)"


@pytest.mark.parametrize(("markdown", "form"), [("> quoted", "blockquote"), ("* a\n  * b", "bullet_list in a list")])
def test_an_unknown_form_is_refused(markdown: str, form: str) -> None:
    with pytest.raises(roff.UnknownFormError, match=f"line [0-9]: no form for {form}"):
        roff.spell(markdown)
