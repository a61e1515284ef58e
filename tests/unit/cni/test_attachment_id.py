"""Claims about cni.attachment_id.

* Marks and comments are the reference's, so that either program finds what the other added.
* A comment fits whatever the names are, and keeps its mark.
* An alias has at most 255 bytes, names the same attachment to whoever made it and reads it, and tells long names apart.
* A request names its attachment; GC names those to keep, and no list is not an empty one.
"""

import json

import pytest

from cni import attachment_id, request
from cni.attachment_id import AttachmentID, network_mark, shortened, spellings

OWNER = AttachmentID("unit-test", "one", "eth0")


def test_marks_are_the_references() -> None:
    assert OWNER.mark == "6fd94d501e58f0aa-287fc69eff0574a2"


def test_an_alias_names_all_three() -> None:
    assert OWNER.alias == "unit-test/one/eth0"


def test_a_comment_names_the_attachment_for_people() -> None:
    assert OWNER.comment == "6fd94d501e58f0aa-287fc69eff0574a2, net: unit-test, if: eth0, id: one"


def test_a_long_comment_keeps_its_mark_and_fits() -> None:
    text = AttachmentID("n" * 80, "c" * 64, "eth0").comment
    assert len(text.encode()) == attachment_id.COMMENT_BYTES
    assert text.startswith(network_mark("n" * 80))


def _asked(**keys: object) -> request.Request:
    environ = {"CNI_COMMAND": "GC", "CNI_CONTAINERID": "one", "CNI_IFNAME": "eth0"}
    return request.compose(environ, json.dumps({"name": "unit-test", **keys}).encode(), lambda _: None)


def test_a_request_names_its_attachment() -> None:
    assert AttachmentID.of(_asked()) == OWNER


@pytest.mark.parametrize(
    ("keys", "known"),
    [
        ({}, None),
        ({"cni.dev/valid-attachments": []}, []),
        ({"cni.dev/valid-attachments": [{"containerID": "one", "ifname": "eth0"}]}, [OWNER]),
    ],
)
def test_gc_names_those_to_keep(keys: dict[str, object], known: list[AttachmentID] | None) -> None:
    assert AttachmentID.known_to(_asked(**keys)) == known


@pytest.mark.parametrize("ifname", ["e", "eth0", "fifteen-letters"])
@pytest.mark.parametrize(
    ("network", "container"), [(9, 64), (111, 128), (112, 128), (113, 128), (190, 64), (255, 128), (255, 300)]
)
def test_an_alias_fits_whatever_the_names_are_and_can_be_read(network: int, container: int, ifname: str) -> None:
    long = AttachmentID("n" * network, "c" * container, ifname)
    assert len(long.alias.encode()) <= attachment_id.ALIAS_BYTES
    read = AttachmentID.signed(long.alias)
    assert read is not None
    assert (read.network in spellings(long.network), read.ifname) == (True, ifname)
    assert read.among(["other", long.network]).network == long.network
    assert read.alias == long.alias


def test_aliases_of_one_container_begin_alike_however_long_the_interface_is_called() -> None:
    for length in range(90, 130):
        short, long = (AttachmentID("n" * length, "c" * 128, ifname).alias for ifname in ("e", "fifteen-letters"))
        assert short.rpartition("/")[0] == long.rpartition("/")[0]


def test_an_alias_that_fits_is_not_shortened() -> None:
    assert AttachmentID("n" * 110, "c" * 128, "eth0").alias == f"{'n' * 110}/{'c' * 128}/eth0"


def test_long_names_that_begin_alike_stay_apart() -> None:
    names = [f"{'n' * 200}{number}" for number in range(100)]
    assert len({AttachmentID(name, "c" * 128, "eth0").alias for name in names}) == 100
    assert len({spellings(name)[1] for name in names}) == 100


@pytest.mark.parametrize("limit", [18, 40, 128, 255])
def test_what_is_shortened_fits_and_stays_as_it_is_when_shortened_again(limit: int) -> None:
    once = shortened("\N{GREEK SMALL LETTER ALPHA}" * 300, limit)
    assert len(once.encode()) <= limit
    assert shortened(once, limit) == once


@pytest.mark.parametrize("alias", ["", "a/b", "a//c", "a/b/c/d", "uplink"])
def test_what_is_no_alias_of_ours_names_nobody(alias: str) -> None:
    assert AttachmentID.signed(alias) is None
