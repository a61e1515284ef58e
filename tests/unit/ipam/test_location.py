"""Where claims are kept.

Claims: without a lease in the reference's directory; with one in the book of its subnet, whatever the network is called;
whoever looks for claims sees every book, also after the lease has changed, and no directory that is none.
"""

from dataclasses import replace
from pathlib import Path

import pytest

from cni.errors import CniError
from ipam import location
from ipam.config import Settings
from lease import file

PLAIN = Settings("blue", sets=(), excluded=(), routes=(), subnet_file="", data_dir="", resolv_conf="", reclaim=False)
LEASED = replace(PLAIN, subnet_file="/run/flannel/subnet.env")
LEASE = file.parse("FLANNEL_NETWORK=10.42.0.0/16\nFLANNEL_SUBNET=10.42.1.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n")


@pytest.mark.parametrize(
    ("settings", "lease", "expected"),
    [
        (PLAIN, None, "/var/lib/cni/networks/blue"),
        (replace(PLAIN, data_dir="/data"), None, "/data/blue"),
        (replace(PLAIN, data_dir="/"), None, "/blue"),
        (LEASED, LEASE, "/run/tulle/books/10.42.1.0-24"),
        (replace(LEASED, data_dir="/data/"), LEASE, "/data/10.42.1.0-24"),
    ],
)
def test_home(settings: Settings, lease: file.Lease | None, expected: str) -> None:
    assert location.home(settings, lease) == expected


def test_networks_share_the_book_of_a_lease() -> None:
    assert location.home(LEASED, LEASE) == location.home(replace(LEASED, name="red"), LEASE)


def test_claim_names_the_network_only_in_a_book() -> None:
    assert location.claim(PLAIN, " abc ", "eth0").text == "abc\r\neth0"
    assert location.claim(LEASED, "abc", "eth0").text == "abc\r\neth0\r\nblue"


def test_place_without_a_lease_is_the_networks_own(tmp_path: Path) -> None:
    settings = replace(PLAIN, data_dir=str(tmp_path))
    assert location.places(settings) == ()
    (tmp_path / "blue").mkdir()
    (tmp_path / "red").mkdir()
    assert location.places(settings) == (f"{tmp_path}/blue",)


def test_places_with_a_lease_are_all_books_and_nothing_else(tmp_path: Path) -> None:
    for name in ("10.42.1.0-24", "10.42.9.0-24", "fd00:42::-64", "blue", "10.42.1.0-", "10.42.1.0-33"):
        (tmp_path / name).mkdir()
    (tmp_path / "10.42.2.0-24").touch()
    assert location.places(replace(LEASED, data_dir=str(tmp_path))) == (
        f"{tmp_path}/10.42.1.0-24",
        f"{tmp_path}/10.42.9.0-24",
        f"{tmp_path}/fd00:42::-64",
    )


def test_no_books_yet_are_no_places(tmp_path: Path) -> None:
    assert location.places(replace(LEASED, data_dir=str(tmp_path / "none"))) == ()


def test_books_that_cannot_be_listed_are_refused_by_path(tmp_path: Path) -> None:
    (tmp_path / "books").touch()
    with pytest.raises(CniError, match=f"address books {tmp_path}/books: Not a directory") as refusal:
        location.places(replace(LEASED, data_dir=str(tmp_path / "books")))
    assert refusal.value.code == 5


def test_key_of_a_lease_names_a_book(tmp_path: Path) -> None:
    settings = replace(LEASED, data_dir=str(tmp_path))
    Path(location.home(settings, LEASE)).mkdir()
    assert location.places(settings) == (location.home(settings, LEASE),)
