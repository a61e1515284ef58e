"""Claims: members are found whatever their case, the last spelling wins, null is absent; a wrong type is refused with path,
value and remedy; text that is no JSON object is refused with its place; no text at all can raise anything else.
"""

import contextlib
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overlay.config import documents
from overlay.config.documents import Section
from overlay.errors import Refused


@pytest.mark.parametrize(
    "text",
    [
        *('{"a":' * 100_000, '{"a":' * 500 + "1" + "}" * 500, '{"a":' + "[" * 150 + "]" * 150 + "}"),
        *('{"a": NaN}', '{"a": -Infinity}', '{"a": ' + "9" * 10_000 + "}"),
    ],
)
def test_what_is_nested_deeply_or_no_number_is_refused(text: str) -> None:
    with pytest.raises(Refused, match="x: not JSON: "):
        documents.parse(text, "x")


def test_a_number_of_any_size_is_only_out_of_range() -> None:
    for text in ('{"a": 1e999}', '{"a": -1e999}', '{"a": ' + "9" * 4000 + "}"):
        with pytest.raises(Refused, match="not a number in range"):
            documents.parse(text, "x").number("a", 0, lowest=0, highest=9)


def test_member_names_match_whatever_their_case() -> None:
    assert Section({"network": "10.0.0.0/8"}).text("Network") == "10.0.0.0/8"


def test_the_last_spelling_of_a_member_wins() -> None:
    assert Section({"VNI": 1, "vni": 2}).number("VNI", 0, lowest=0, highest=9) == 2


def test_null_is_absent() -> None:
    assert Section({"Network": None}).ipv4_network("Network") is None


def test_host_bits_of_a_network_are_masked_off() -> None:
    assert Section({"Network": "10.42.7.1/16"}).ipv4_network("Network") == IPv4Network("10.42.0.0/16")


def test_a_refusal_names_path_value_and_remedy() -> None:
    section = documents.parse('{"Backend": {"VNI": "seven"}}', "net.json").section("Backend")
    assert section is not None
    with pytest.raises(Refused) as refused:
        section.number("VNI", 1, lowest=1, highest=9)
    expected = 'net.json: Backend.VNI is "seven": not a number in range; write a whole number from 1 to 9'
    assert str(refused.value) == expected


WRONG: tuple[tuple[object, Callable[[Section], object]], ...] = (
    (1, lambda section: section.text("a")),
    ("true", lambda section: section.flag("a")),
    (True, lambda section: section.number("a", 0, lowest=0, highest=9)),
    (1.0, lambda section: section.number("a", 0, lowest=0, highest=9)),
    (10, lambda section: section.number("a", 0, lowest=0, highest=9)),
    ([], lambda section: section.section("a")),
    ({}, lambda section: section.sections("a")),
    ([1], lambda section: section.sections("a")),
    ("10.0.0.01", lambda section: section.ipv4("a")),
    ("::1", lambda section: section.ipv4("a")),
    ("10.0.0.1", lambda section: section.ipv6("a")),
    ("fe80::1%eth0", lambda section: section.ipv6("a")),
    ("10.0.0.0", lambda section: section.ipv4_network("a")),
    ("10.0.0.0/255.0.0.0", lambda section: section.ipv4_network("a")),
    ("10.0.0.0/33", lambda section: section.ipv4_network("a")),
    ("fd00::/64", lambda section: section.ipv4_network("a")),
    ("10.0.0.0/8", lambda section: section.ipv6_network("a")),
)


@pytest.mark.parametrize(("value", "read"), WRONG)
def test_a_wrong_type_or_form_is_refused(value: object, read: Callable[[Section], object]) -> None:
    with pytest.raises(Refused, match="a is "):
        read(Section({"a": value}))


@pytest.mark.parametrize("text", ["", "[]", "null", "{", '{"a":}', "[" * 100_000, b"\xff\xfe{", "1" * 10_000])
def test_what_is_no_json_object_is_refused_with_its_place(text: str | bytes) -> None:
    with pytest.raises(Refused, match=r"net\.json: not "):
        documents.parse(text, "net.json")


def test_lists_of_objects_know_their_index() -> None:
    entries = documents.parse('{"Hosts": [{}, {"PublicIP": 5}]}', "hosts.json").sections("Hosts")
    with pytest.raises(Refused, match=r"Hosts\[1\]\.PublicIP is 5"):
        entries[1].ipv4("PublicIP")


def test_an_address_is_read() -> None:
    assert Section({"PublicIP": "192.0.2.1"}).ipv4("publicip") == IPv4Address("192.0.2.1")


@given(st.binary() | st.text())
def test_no_text_raises_anything_but_a_refusal(text: str | bytes) -> None:
    with contextlib.suppress(Refused):
        assert isinstance(documents.parse(text, "x").members, dict)
