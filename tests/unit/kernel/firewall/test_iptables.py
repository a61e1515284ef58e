"""Claims about the pure part of kernel.firewall.iptables.

- rules and jump are written as iptables lists them (docs/reference/flannel.md 6.1, literally)
- words survive being quoted and read; one that could end its line is refused
- an interface's name is read as it is called, whatever quotes it holds; no listing makes the reader fail
- a word or comment of a chain that could change the meaning of its line is refused
"""

import errno
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.errors import KernelError
from kernel.firewall import iptables
from kernel.firewall.iptables import Chain

NETWORK = "10.42.0.0/16"
FORWARD = Chain(
    table="filter",
    name="FLANNEL-FWD",
    parent="FORWARD",
    comment="flanneld forward",
    rules=(("-s", NETWORK, "-j", "ACCEPT"), ("-d", NETWORK, "-j", "ACCEPT")),
)


def test_rules_are_spelled_as_iptables_lists_them() -> None:
    assert FORWARD.lines() == [
        '-A FLANNEL-FWD -s 10.42.0.0/16 -m comment --comment "flanneld forward" -j ACCEPT',
        '-A FLANNEL-FWD -d 10.42.0.0/16 -m comment --comment "flanneld forward" -j ACCEPT',
    ]


def test_the_jump_is_spelled_as_iptables_lists_it() -> None:
    assert FORWARD.jump() == '-A FORWARD -m comment --comment "flanneld forward" -j FLANNEL-FWD'


def test_what_follows_the_target_stays_behind_it() -> None:
    rule = ("!", "-s", NETWORK, "-d", NETWORK, "-j", "MASQUERADE", "--random-fully")
    masquerade = replace(FORWARD, name="FLANNEL-POSTRTG", comment="flanneld masq", rules=(rule,))
    comment = '-m comment --comment "flanneld masq"'
    line = f"-A FLANNEL-POSTRTG ! -s {NETWORK} -d {NETWORK} {comment} -j MASQUERADE --random-fully"
    assert masquerade.lines() == [line]
    masquerade.check()


@pytest.mark.parametrize("word", ["", "a b", 'a"', "a\nCOMMIT", "$(x)", "a;b", "ä"])
def test_a_word_that_could_change_its_line_is_refused(word: str) -> None:
    with pytest.raises(KernelError, match="not expressible") as refused:
        replace(FORWARD, rules=(("-s", word, "-j", "ACCEPT"),)).check()
    assert refused.value.errno == errno.EINVAL


@pytest.mark.parametrize("comment", ["", 'a" -j DROP', "a\nb", "x" * 256, "back\\slash"])
def test_a_comment_that_could_end_early_is_refused(comment: str) -> None:
    with pytest.raises(KernelError, match="not expressible"):
        replace(FORWARD, comment=comment).check()


def test_a_rule_without_target_is_refused() -> None:
    with pytest.raises(KernelError, match="not expressible"):
        replace(FORWARD, rules=(("-s", NETWORK),)).check()


@given(st.lists(st.text(st.characters(min_codepoint=32, exclude_categories=["C", "Z"]), min_size=1), min_size=1))
def test_words_survive_quoting_and_reading(words: list[str]) -> None:
    assert iptables._words(" ".join(map(iptables._quoted, words))) == tuple(words)


def test_a_comment_with_quotes_is_written_as_iptables_reads_it() -> None:
    assert iptables._quoted('name: "net"') == r'"name: \"net\""'
    assert iptables._quoted("10.1.0.0/24") == "10.1.0.0/24"


@pytest.mark.parametrize("name", ["it's", 'a"b', "a\\b", '"q"', '"', "\\", "!", "-j", "-i", "a\x01b", "\u2028a", "#a"])
def test_an_interface_is_read_as_it_is_called(name: str) -> None:
    comment = r'''-m comment --comment "it\'s \"x\" \\"'''
    line = f"-A CNI-X -i {name} ! -o {name} {comment} -j DROP"
    told = ("-m", "comment", "--comment", 'it\'s "x" \\')
    assert iptables._words(line) == ("-A", "CNI-X", "-i", name, "!", "-o", name, *told, "-j", "DROP")


def test_a_comment_that_holds_the_end_of_a_line_is_one_word() -> None:
    text = '-P FORWARD ACCEPT\n-A FORWARD -m comment --comment "one\n\u2028two" -j DROP\n-A FORWARD -j ACCEPT\n'
    rules = [iptables._words(line) for line in iptables._lines(text)]
    assert [rule[-1] for rule in rules] == ["ACCEPT", "DROP", "ACCEPT"]
    assert rules[1][5] == "one\n\u2028two"


@given(st.text(max_size=40))
def test_no_line_makes_the_reader_fail(text: str) -> None:
    (first, *_) = iptables._lines(f"-A {text}")
    assert iptables._words(first)[0] == "-A"


@pytest.mark.parametrize("word", ["a\nCOMMIT", "a\0", "a\rb"])
def test_a_word_that_could_end_its_line_is_refused(word: str) -> None:
    with pytest.raises(KernelError) as refused:
        iptables.restore(4, "nat", (), [("-A", "POSTROUTING", word)])
    assert refused.value.errno == errno.EINVAL
