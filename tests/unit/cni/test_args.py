"""Claims: CNI_ARGS is split as docs/reference/cni.md 1.9 says; unknown keys are refused unless IgnoreUnknown lets them pass."""

import pytest

from cni import args
from cni.errors import CniError

KNOWN = {"IP", "GATEWAY"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("IP=10.1.0.5", {"IP": "10.1.0.5"}),
        ("IP=10.1.0.5;GATEWAY=10.1.0.1", {"IP": "10.1.0.5", "GATEWAY": "10.1.0.1"}),
        ("IP=", {"IP": ""}),
        ("IP=1;IP=2", {"IP": "2"}),
        ("IgnoreUnknown=1;K8S_POD_NAME=web;IP=10.1.0.5", {"IP": "10.1.0.5"}),
        ("K8S_POD_NAME=web;IP=10.1.0.5;IgnoreUnknown=TRUE", {"IP": "10.1.0.5"}),
        ("IgnoreUnknown=0;IP=10.1.0.5", {"IP": "10.1.0.5"}),
        ("IgnoreUnknown=false", {}),
        ("IgnoreUnknown=1;ip=10.1.0.5", {}),
    ],
)
def test_known_keys_are_returned(text: str, expected: dict[str, str]) -> None:
    assert args.parse(text, KNOWN) == expected


@pytest.mark.parametrize(
    "text", ["none", "IP", "IP=1;", ";IP=1", "IP=1;;GATEWAY=2", "IP=a=b", ";", "IgnoreUnknown=1;none"]
)
def test_a_piece_that_is_no_pair_is_refused(text: str) -> None:
    with pytest.raises(CniError, match="ARGS: invalid pair") as caught:
        args.parse(text, KNOWN)
    assert caught.value.code == 4


@pytest.mark.parametrize(
    "text",
    ["MAC=1", "ip=10.1.0.5", "ignoreunknown=1", "MAC=1;IgnoreUnknown=0", "IgnoreUnknown=1;MAC=1;IgnoreUnknown=0"],
)
def test_unknown_keys_are_refused(text: str) -> None:
    with pytest.raises(CniError, match="ARGS: unknown args") as caught:
        args.parse(text, KNOWN)
    assert caught.value.code == 4


def test_all_unknown_pieces_are_listed_with_the_way_out() -> None:
    with pytest.raises(CniError) as caught:
        args.parse("A=1;IP=2;B=3", KNOWN)
    assert caught.value.msg == 'ARGS: unknown args ["A=1" "B=3"]'
    assert caught.value.remedy == "CNI_ARGS may hold GATEWAY, IP here: add IgnoreUnknown=1 to let other keys pass"


@pytest.mark.parametrize("value", ["", "yes", "2", "t"])
def test_ignore_unknown_is_a_truth_value(value: str) -> None:
    with pytest.raises(CniError, match="write 1, true, 0 or false"):
        args.parse(f"IgnoreUnknown={value}", KNOWN)
