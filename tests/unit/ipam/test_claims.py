"""What reservations say and whom they belong to.

Claims: the text is the reference's byte for byte, with a third line only where networks share; a legacy file is its
container's only when nothing names the interface; GC removes what is provably the network's and provably gone, nothing else.
"""

from ipaddress import ip_address

import pytest

from ipam import claims
from ipam.claims import Claim, Reservation

ADDRESS = ip_address("10.0.0.2")
ALIVE = frozenset({("alive", "eth0"), ("alive", "net1")})


def reservation(text: str | None, path: str = "10.0.0.2", *, vacant: bool = False) -> Reservation:
    return Reservation(path, ADDRESS if path == "10.0.0.2" else None, text, vacant)


def test_text_is_the_references() -> None:
    assert Claim("abc", "eth0").text == "abc\r\neth0"


def test_text_in_a_shared_book_names_the_network_last() -> None:
    assert Claim("abc", "eth0", "blue").text == "abc\r\neth0\r\nblue"


def test_exact_match_hides_the_legacy_one() -> None:
    legacy, exact = reservation("abc"), reservation("abc\r\neth0")
    assert claims.held([legacy, exact], Claim("abc", "eth0")) == (exact,)


def test_legacy_file_is_found_when_nothing_else_is() -> None:
    legacy = reservation("abc")
    assert claims.held([legacy, reservation("abc\r\neth1")], Claim("abc", "eth0")) == (legacy,)


@pytest.mark.parametrize("text", ["abc", "abc\r\neth0", "abc\r\neth0\r\nred", None, ""])
def test_a_shared_book_yields_only_what_names_the_network(text: str | None) -> None:
    assert claims.held([reservation(text)], Claim("abc", "eth0", "blue")) == ()


def test_unreadable_file_is_taken_and_a_blank_one_is_not() -> None:
    assert claims.taken([reservation(None)]) == {ADDRESS}
    assert claims.taken([reservation("", vacant=True)]) == frozenset()


@pytest.mark.parametrize(
    ("text", "goes"),
    [
        ("alive\r\neth0", False),
        ("alive\r\neth9", True),
        ("dead\r\neth0", True),
        ("alive", False),
        ("dead", True),
        ("dead\r\neth0\r\nblue", False),
        ("\r\n", False),
        ("", False),
        (None, False),
    ],
)
def test_gc_in_a_directory_of_one_network(text: str | None, goes: bool) -> None:
    assert bool(claims.stale([reservation(text and text.strip())], ALIVE)) is goes


@pytest.mark.parametrize(
    ("text", "goes"),
    [
        ("alive\r\neth0\r\nblue", False),
        ("dead\r\neth0\r\nblue", True),
        ("dead\r\neth0\r\nred", False),
        ("dead\r\neth0", False),
        ("dead", False),
        (None, False),
    ],
)
def test_gc_in_a_shared_book_reaches_only_its_own_network(text: str | None, goes: bool) -> None:
    assert bool(claims.stale([reservation(text)], ALIVE, "blue")) is goes


def test_what_is_vacant_is_no_duplicate() -> None:
    assert claims.duplicates([reservation("abc\r\neth0")], Claim("abc", "eth0")) == (ADDRESS,)
    assert claims.duplicates([reservation("abc\r\neth0", vacant=True)], Claim("abc", "eth0")) == ()


def test_gc_drops_blank_files() -> None:
    blank = reservation("", vacant=True)
    assert claims.stale([blank], ALIVE) == (blank,)


def test_gc_never_touches_a_name_that_is_no_address() -> None:
    assert claims.stale([reservation("dead\r\neth0", path="notes"), reservation("", "notes", vacant=True)], ALIVE) == ()
