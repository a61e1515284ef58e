"""Claims: JSON is decoded like the reference decodes it (key case, duplicates, null, strict types); errors name the path.

Not covered: what any key means; that is each program's own config test.
"""

import json
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cni import json_object
from cni.errors import CniError
from cni.json_object import JsonObject

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), JSON))
def test_any_object_is_decoded_as_written(members: dict[str, Any]) -> None:
    assert json_object.decode(json.dumps(members).encode()).members == members


@pytest.mark.parametrize("data", [b"null", b" null\n"])
def test_null_is_an_empty_configuration(data: bytes) -> None:
    assert json_object.decode(data) == JsonObject({})


@pytest.mark.parametrize(
    "data",
    [
        b"", b"  \n", b"{", b"}", b"{}{}", b"{} x", b"{'a': 1}", b'{"a": 1,}', b'{"a": NaN}', b'{"a": -Infinity}', b'{"a": 01}',
        b'{"a": "\n"}', b'{"a": "\\x"}', b"\xef\xbb\xbf{}", b'{"a": "\xff"}', '{"a": 1}'.encode("utf-16"), '{"a": 1}'.encode("utf-32"),
        b"\x00", b'{"a": 1' + b"0" * 5000 + b"}", b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}", b"[]", b"[{}]", b'"text"', b"5", b"true",
    ],
)  # fmt: skip
def test_anything_but_one_json_object_is_a_decoding_failure(data: bytes) -> None:
    with pytest.raises(CniError, match="error decoding JSON") as caught:
        json_object.decode(data)
    assert caught.value.code == 6


def test_a_decoding_failure_shows_how_the_input_begins() -> None:
    with pytest.raises(CniError) as caught:
        json_object.decode(b'{"name": "\xff"' + b"x" * 500)
    assert caught.value.details.startswith(r'it begins with "{\"name\": \"\\xff\"xxx')
    assert len(caught.value.details) < 150


def test_no_input_at_all_is_said_plainly() -> None:
    with pytest.raises(CniError, match="there was no text: expected one JSON object"):
        json_object.decode(b"")


@pytest.mark.parametrize("data", [rb'{"a": "\ud800x"}', rb'{"a": "\uDC00x"}'])
def test_half_a_surrogate_pair_becomes_a_replacement_character(data: bytes) -> None:
    assert json_object.decode(data).text("a") == "\ufffdx"


def test_surrogates_are_mended_at_any_depth() -> None:
    assert json_object.decode(rb'{"a": [{"\ud800": ["\ud83d\ude00", 1, null]}]}').raw("a") == [
        {"\ufffd": ["\U0001f600", 1, None]}
    ]


@pytest.mark.parametrize(
    "spelling",
    ["runtimeConfig", "RuntimeConfig", "RUNTIMECONFIG", "runtimeconfig"],
)
def test_keys_of_objects_match_in_any_case(spelling: str) -> None:
    assert JsonObject({spelling: 5}).number("runtimeConfig") == 5


@pytest.mark.parametrize(
    "data", [b'{"mtu": 1, "mtu": 2}', b'{"mtu": 1, "MTU": 2}', b'{"MTU": 1, "mtu": 2}', b'{"mtu": "x", "Mtu": 2}']
)
def test_the_last_duplicate_wins(data: bytes) -> None:
    assert json_object.decode(data).number("mtu") == 2


def test_keys_of_maps_are_exact() -> None:
    section = json_object.decode(b'{"Sysctl": {"net.A": "1", "net.a": "2"}}')
    assert section.mapping("sysctl") == {"net.A": "1", "net.a": "2"}


def test_an_absent_map_is_empty() -> None:
    assert JsonObject({}).mapping("sysctl") == {}


@pytest.mark.parametrize(
    ("read", "expected"),
    [
        (lambda section: section.text("a"), ""),
        (lambda section: section.text("a", "cni0"), "cni0"),
        (lambda section: section.flag("a"), False),
        (lambda section: section.flag("a", default=True), True),
        (lambda section: section.optional_flag("a"), None),
        (lambda section: section.number("a"), 0),
        (lambda section: section.number("a", 13, lowest=0, highest=31), 13),
        (lambda section: section.optional_number("a"), None),
        (lambda section: section.texts("a"), ()),
        (lambda section: section.address("a"), None),
        (lambda section: section.interface("a"), None),
        (lambda section: section.section("a"), None),
        (lambda section: section.sections("a"), None),
        (lambda section: section.section_lists("a"), None),
        (lambda section: section.raw("a"), None),
        (lambda section: section.has("a"), False),
    ],
)
@pytest.mark.parametrize("members", [{}, {"a": None}, {"A": None}])
def test_absent_and_null_give_the_default(
    read: Callable[[JsonObject], object], expected: object, members: dict[str, Any]
) -> None:
    assert read(JsonObject(members)) == expected


def test_null_is_written_but_has_no_value() -> None:
    section = JsonObject({"cni.dev/attachments": None})
    assert section.contains("CNI.dev/attachments")
    assert not section.has("cni.dev/attachments")
    assert not section.contains("cni.dev/valid-attachments")


@pytest.mark.parametrize(
    ("read", "value", "expected"),
    [
        (lambda section: section.text("a"), "", ""),
        (lambda section: section.text("a", "x"), "grün", "grün"),
        (lambda section: section.flag("a", default=True), False, False),
        (lambda section: section.optional_flag("a"), True, True),
        (lambda section: section.number("a", 7), 0, 0),
        (lambda section: section.number("a"), -(2**63), -(2**63)),
        (lambda section: section.number("a", lowest=0, highest=4094), 4094, 4094),
        (lambda section: section.optional_number("a"), 0, 0),
        (lambda section: section.texts("a"), ["x", ""], ("x", "")),
        (lambda section: str(section.address("a")), "::ffff:10.1.0.1", "10.1.0.1"),
        (lambda section: section.address("a"), "", None),
        (lambda section: str(section.interface("a")), "10.1.0.5/24", "10.1.0.5/24"),
        (lambda section: str(section.required_interface("a")), "10.1.0.5/24", "10.1.0.5/24"),
        (lambda section: section.sections("a"), [], ()),
        (
            lambda section: section.sections("a"),
            [None, {"b": 1}],
            (JsonObject({}, "a[0]"), JsonObject({"b": 1}, "a[1]")),
        ),
        (lambda section: section.section_lists("a"), [[], [{}]], ((), (JsonObject({}, "a[1][0]"),))),
    ],
)
def test_values_of_the_right_type_are_returned(
    read: Callable[[JsonObject], object], value: object, expected: object
) -> None:
    assert read(JsonObject({"a": value})) == expected


@pytest.mark.parametrize(
    ("read", "values"),
    [
        (lambda section: section.text("a"), [5, True, 1.5, [], {}, "nul\0"]),
        (lambda section: section.flag("a"), ["true", 1, 0, [], {}, "", 1.0]),
        (lambda section: section.number("a"), ["5", True, 1.0, 1e3, [], {}, 2**63, -(2**63) - 1]),
        (lambda section: section.number("a", lowest=0), [-1]),
        (lambda section: section.number("a", highest=4094), [4095]),
        (lambda section: section.number("a", lowest=1, highest=4094), [0, 4095]),
        (lambda section: section.texts("a"), ["x", {}, [5], ["x", None], ["x\0"], 5]),
        (lambda section: section.address("a"), ["10.1.0.256", "10.1.0.1/24", "host", 5, "fe80::1%eth0"]),
        (lambda section: section.interface("a"), ["", "10.1.0.1", "10.1.0.0/33", 5]),
        (lambda section: section.section("a"), ["x", 5, [], True]),
        (lambda section: section.sections("a"), ["x", {}, [5], [[]]]),
        (lambda section: section.section_lists("a"), ["x", {}, [{}], [None], [[5]]]),
        (lambda section: section.mapping("a"), ["x", [], 5]),
    ],
)  # fmt: skip
def test_values_of_a_wrong_type_are_refused(read: Callable[[JsonObject], object], values: list[object]) -> None:
    for value in values:
        with pytest.raises(CniError, match='invalid value of "a') as caught:
            read(JsonObject({"a": value}))
        assert caught.value.code == 7
        assert caught.value.remedy.startswith("expected ")


def test_an_error_names_the_path_the_value_and_the_remedy() -> None:
    root = JsonObject({"ipam": {"ranges": [[{"subnet": "10.1.0.0/24"}, {"subnet": "10.1.0.0/240"}]]}})
    ipam = root.section("ipam")
    assert ipam is not None
    ranges = ipam.section_lists("ranges")
    assert ranges is not None
    with pytest.raises(CniError) as caught:
        ranges[0][1].interface("subnet")
    assert caught.value.msg == 'invalid value of "ipam.ranges[0][1].subnet": got "10.1.0.0/240"'
    assert caught.value.remedy == "expected an address/length such as 10.1.0.5/24"


@pytest.mark.parametrize(
    ("bounds", "wanted"),
    [
        ({}, "expected a whole number"),
        ({"lowest": 1}, "expected a whole number of at least 1"),
        ({"lowest": 0, "highest": 9}, "expected a whole number between 0 and 9"),
        ({"highest": 9}, "expected a whole number between -9223372036854775808 and 9"),
    ],
)
def test_a_refused_number_is_told_its_bounds(bounds: dict[str, int], wanted: str) -> None:
    with pytest.raises(CniError) as caught:
        JsonObject({"a": "x"}).number("a", **bounds)
    assert caught.value.remedy == wanted


def test_a_long_wrong_value_is_cut() -> None:
    with pytest.raises(CniError) as caught:
        JsonObject({"a": "x" * 5000}).number("a")
    assert len(caught.value.msg) < 120


def test_a_missing_network_is_named() -> None:
    with pytest.raises(CniError, match=r'missing "ips\[0\].address"'):
        JsonObject({}, "ips[0]").required_interface("address")


def test_unknown_members_are_kept_as_written() -> None:
    assert JsonObject({"Name": "x", "vendorKey": 1}).unknown({"name"}) == {"vendorKey": 1}


@pytest.mark.parametrize(
    ("data", "path", "expected"),
    [
        (b'{"sysctl": {"a": "1", "b": "2"}}', ("sysctl",), ()),
        (b'{"sysctl": {"a": "1", "b": "2", "a": "3", "a": "1"}}', ("sysctl",), ("a",)),
        (b'{"sysctl": {"a": "1", "A": "2"}}', ("sysctl",), ()),
        (b'{"SysCtl": {"b": "1", "b": "2", "a": "", "a": ""}}', ("sysctl",), ("b", "a")),
        (b'{"a": {"sysctl": {"b": "1", "b": "2"}}}', ("sysctl",), ()),
        (b'{"args": {"cni": {"sysctl": {"b": "1", "b": "2"}}}}', ("args", "cni", "sysctl"), ("b",)),
        (b'{"sysctl": null}', ("sysctl",), ()),
        (b'{"sysctl": ["a", "a"]}', ("sysctl", "x"), ()),
        (b'{"x": 1, "x": 2}', (), ("x",)),
    ],
)
def test_repeated_keys_of_one_object_are_found(data: bytes, path: tuple[str, ...], expected: tuple[str, ...]) -> None:
    assert json_object.repeated(data, *path) == expected


def test_repeated_keys_are_sought_in_json_only() -> None:
    with pytest.raises(CniError, match="error decoding JSON"):
        json_object.repeated(b"\xff")


def test_decoding_deep_input_leaves_the_interpreter_usable() -> None:
    with pytest.raises(CniError):
        json_object.decode(b"[" * 100_000)
    assert sys.getrecursionlimit() >= 1000
