"""Claims about cni.owner.

* Marks and comments are the reference's, so that either program finds what the other added.
* A comment fits whatever the names are, and keeps its mark.
* A request names its attachment; GC names those to keep, and no list is not an empty one.
"""

import json

import pytest

from cni import owner, request
from cni.owner import Owner, network_mark

OWNER = Owner("unit-test", "one", "eth0")


def test_marks_are_the_references() -> None:
    assert OWNER.mark == "6fd94d501e58f0aa-287fc69eff0574a2"


def test_an_alias_names_all_three() -> None:
    assert OWNER.alias == "unit-test/one/eth0"


def test_a_comment_names_the_attachment_for_people() -> None:
    assert OWNER.comment == "6fd94d501e58f0aa-287fc69eff0574a2, net: unit-test, if: eth0, id: one"


def test_a_long_comment_keeps_its_mark_and_fits() -> None:
    text = Owner("n" * 80, "c" * 64, "eth0").comment
    assert len(text.encode()) == owner.COMMENT_BYTES
    assert text.startswith(network_mark("n" * 80))


def _asked(**keys: object) -> request.Request:
    environ = {"CNI_COMMAND": "GC", "CNI_CONTAINERID": "one", "CNI_IFNAME": "eth0"}
    return request.compose(environ, json.dumps({"name": "unit-test", **keys}).encode(), lambda _: None)


def test_a_request_names_its_attachment() -> None:
    assert Owner.of(_asked()) == OWNER


@pytest.mark.parametrize(
    ("keys", "known"),
    [
        ({}, None),
        ({"cni.dev/valid-attachments": []}, []),
        ({"cni.dev/valid-attachments": [{"containerID": "one", "ifname": "eth0"}]}, [OWNER]),
    ],
)
def test_gc_names_those_to_keep(keys: dict[str, object], known: list[Owner] | None) -> None:
    assert Owner.known_to(_asked(**keys)) == known
