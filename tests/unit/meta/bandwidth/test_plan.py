"""Claims about what `bandwidth` decides (contract 4.3).

* The numbers of a token bucket are the reference's, truncations included.
* The ifb has the reference's name; a second interface of a container has another one, a second network too.
* What the kernel could not count is refused by the key, whatever the rate and burst.
* The host's end is one that the earlier result lists without a sandbox.
"""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cni.errors import CniError
from cni.owner import Owner
from cni.types import Interface, Result
from meta.bandwidth.config import Limit, Settings
from meta.bandwidth.plan import HIGHEST_LIMIT, Bucket, devices, host_ends, shaping

OWNER = Owner("cni-plugin-bandwidth-test", "dummy", "eth0")


def inward(rate: int, burst: int) -> Bucket | None:
    return shaping(Settings(Limit(rate, burst, "ingressRate"), None), OWNER).inward


@pytest.mark.parametrize(
    ("rate", "burst", "expected"),
    [
        (8000, 80, Bucket(1000, 35, 10_000)),
        (16, 8, Bucket(2, 1, 500_000)),
        (15, 15, Bucket(1, 1, 1_000_000)),
        (8_000_000, 80_000, Bucket(1_000_000, 35_000, 10_000)),
        (80_000_000_000, 8_000_000, Bucket(10_000_000_000, 251_000_000, 100)),
    ],
)
def test_numbers_are_the_references(rate: int, burst: int, expected: Bucket) -> None:
    assert inward(rate, burst) == expected


def test_the_ifb_has_the_references_name() -> None:
    assert devices(OWNER)[0] == "bwpa8eda89404b7"


def test_every_attachment_has_a_name_of_its_own() -> None:
    others = [Owner("net", "c1", "eth0"), Owner("net", "c1", "eth1"), Owner("other", "c1", "eth0")]
    names = [devices(each)[1] for each in [OWNER, *others]]
    assert len({*names, devices(OWNER)[0], devices(others[0])[0]}) == 6
    assert {len(name) for name in names} == {15}


@given(rate=st.integers(8, 2**64 - 1), burst=st.integers(8, (2**32 - 1) * 8 - 1))
def test_what_is_not_refused_fits_the_kernel(rate: int, burst: int) -> None:
    with suppress(CniError):
        bucket = inward(rate, burst)
        assert bucket
        assert bucket.limit <= HIGHEST_LIMIT
        assert bucket.buffer * 16 < 2**32


@pytest.mark.parametrize(("rate", "burst"), [(2**64 - 1, 8), (2**42, 2**34)])
def test_what_the_kernel_could_not_count_is_refused_by_its_key(rate: int, burst: int) -> None:
    with pytest.raises(CniError, match="beyond what the kernel can count") as refused:
        inward(rate, burst)
    assert (refused.value.code, '"ingressRate"' in refused.value.details) == (7, True)


def test_a_burst_of_minutes_is_refused() -> None:
    with pytest.raises(CniError, match="beyond what the kernel can count"):
        inward(8, 8 * 300)


def test_without_limits_there_is_nothing_to_do() -> None:
    assert not shaping(Settings(None, None), OWNER).limits


def test_the_hosts_end_is_one_without_sandbox() -> None:
    interfaces = (Interface("br0"), Interface("veth1"), Interface("eth0", sandbox="/run/netns/x"))
    assert host_ends(Result(interfaces=interfaces)) == {"br0", "veth1"}
    with pytest.raises(CniError, match=r"^no interfaces provided"):
        host_ends(Result())
