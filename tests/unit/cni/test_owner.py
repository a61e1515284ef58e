"""Claims about cni.owner.

* Marks and comments are the reference's, so that either program finds what the other added.
* A comment fits whatever the names are, and keeps its mark.
"""

from cni import owner
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
