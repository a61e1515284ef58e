"""Claims: a place is told as a JSON path; taking values out keeps the places of what remains; the document itself stays.

Not covered: which places are mistaken (test_schemas, test_parsers).
"""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.linting.finding import Finding, Place, as_written, copied, related, take_out

DOCUMENT = {"a": [[{"b": 1, "c": 2}, {"b": 3}], [{"b": 4}]], "d": {"e": 5}}


@pytest.mark.parametrize(
    ("place", "path"),
    [((), "$"), (("a", 0, "b"), "$.a[0].b"), (("cni.dev/attachments",), "$['cni.dev/attachments']")],
)
def test_a_place_is_told_as_a_json_path(place: Place, path: str) -> None:
    assert Finding(place, "", "").path == path


@pytest.mark.parametrize(
    ("one", "other", "is_related"),
    [(("a",), ("a", 0), True), (("a", 0), ("a",), True), (("a", 0), ("a", 1), False), ((), ("a",), True)],
)
def test_places_are_related_when_one_holds_the_other(one: Place, other: Place, *, is_related: bool) -> None:
    assert related(one, other) is is_related


@pytest.mark.parametrize(
    ("place", "rest"),
    [
        (("d", "e"), {**DOCUMENT, "d": {}}),
        (("a", 0, 0), {**DOCUMENT, "a": [[{"b": 3}], [{"b": 4}]]}),
        (("a", 1, 0), {**DOCUMENT, "a": [[{"b": 1, "c": 2}, {"b": 3}]]}),
        (("a", 0, 1, "missing"), {**DOCUMENT, "a": [[{"b": 1, "c": 2}], [{"b": 4}]]}),
    ],
)
def test_what_is_taken_out_takes_nothing_else_along(place: Place, rest: Any) -> None:
    document = copied(DOCUMENT)
    assert take_out(document, place)
    assert document == rest


@pytest.mark.parametrize("place", [(), ("nowhere",), ("nowhere", 0)])
def test_the_document_itself_stays(place: Place) -> None:
    document = copied(DOCUMENT)
    assert not take_out(document, place)
    assert document == DOCUMENT


def test_what_remains_knows_where_it_stood() -> None:
    document = copied(DOCUMENT)
    take_out(document, ("a", 0, 0))
    take_out(document, ("a", 1))
    assert as_written(document, ("a", 0, 0, "b")) == ("a", 0, 1, "b")


@given(st.lists(st.integers(), min_size=1), st.data())
def test_every_element_left_knows_where_it_stood(values: list[int], data: st.DataObject) -> None:
    document = copied({"a": values})
    for index in data.draw(st.sets(st.sampled_from(range(len(values))), max_size=len(values) - 1)):
        take_out(document, ("a", index))
    assert [values[as_written(document, ("a", at))[1]] for at in range(len(document["a"]))] == document["a"]  # type: ignore[index]
