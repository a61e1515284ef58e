"""Claims: both spellings of GC's list are read; an explicit empty list differs from none; junk is refused with its path."""

from typing import Any

import pytest

from cni import valid_attachments
from cni.errors import CniError
from cni.json_object import JsonObject

ONE = [{"containerID": "a", "ifname": "eth0"}]
TWO = [{"containerID": "b", "ifname": "eth1"}]


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"cni.dev/valid-attachments": ONE}, {("a", "eth0")}),
        ({"cni.dev/attachments": ONE}, {("a", "eth0")}),
        ({"cni.dev/valid-attachments": ONE, "cni.dev/attachments": ONE}, {("a", "eth0")}),
        ({"cni.dev/valid-attachments": ONE, "cni.dev/attachments": TWO}, {("a", "eth0"), ("b", "eth1")}),
        ({"cni.dev/valid-attachments": []}, set()),
        ({"cni.dev/valid-attachments": None, "cni.dev/attachments": None}, set()),
    ],
)
def test_a_list_says_what_to_keep(members: dict[str, Any], expected: set[tuple[str, str]]) -> None:
    assert valid_attachments.valid(JsonObject(members)) == frozenset(expected)


def test_without_a_list_nothing_is_known() -> None:
    assert valid_attachments.valid(JsonObject({"name": "net"})) is None


@pytest.mark.parametrize(
    "value", ["a", {}, ["a"], [{"containerID": 5}], [{"containerID": "a", "ifname": []}], [{}], [{"containerID": "a"}]]
)
def test_a_list_of_another_shape_is_refused(value: Any) -> None:
    with pytest.raises(CniError, match=r'invalid value of "cni\.dev/valid-attachments') as caught:
        valid_attachments.valid(JsonObject({"cni.dev/valid-attachments": value}))
    assert caught.value.code == 7
