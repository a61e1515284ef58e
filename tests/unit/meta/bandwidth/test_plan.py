"""Claims about what `bandwidth` decides (docs/reference/cni.md 4.3).

* The numbers of a token bucket are the reference's, truncations included.
* The ifb has the reference's name; a second interface of a container has another one, a second network too.
* What the kernel could not count is refused by the key when it is typed, and cut when a runtime sends it, whatever the rate and burst.
* A burst of which the kernel lets nothing pass is refused by the key.
* What the reference leaves in the kernel, where its numbers wrap around, is known to CHECK.
* The host's end is one that the earlier result lists without a sandbox.
"""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cni.attachment_id import AttachmentID
from cni.errors import CniError
from cni.types import Interface, Result
from meta.bandwidth.config import Limit, Settings
from meta.bandwidth.plan import HIGHEST_LIMIT, Bucket, devices, host_ends, shaping

OWNER = AttachmentID("cni-plugin-bandwidth-test", "dummy", "eth0")


def inward(rate: int, burst: int, *, typed: bool = True) -> Bucket | None:
    return shaping(Settings(Limit(rate, burst, "ingressRate", typed), None), OWNER).inward


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
    others = [AttachmentID("net", "c1", "eth0"), AttachmentID("net", "c1", "eth1"), AttachmentID("other", "c1", "eth0")]
    names = [devices(each)[1] for each in [OWNER, *others]]
    assert len({*names, devices(OWNER)[0], devices(others[0])[0]}) == 6
    assert {len(name) for name in names} == {15}


@given(rate=st.integers(8, 2**64 - 1), burst=st.integers(8, (2**32 - 1) * 8 - 1), typed=st.booleans())
def test_what_is_not_refused_fits_the_kernel(rate: int, burst: int, *, typed: bool) -> None:
    with suppress(CniError):
        bucket = inward(rate, burst, typed=typed)
        assert bucket
        assert bucket.passes
        assert bucket.limit <= HIGHEST_LIMIT
        assert bucket.buffer * 16 < 2**32


@pytest.mark.parametrize(("rate", "burst"), [(2**64 - 1, 8), (2**42, 2**34)])
def test_what_the_kernel_could_not_count_is_refused_by_its_key(rate: int, burst: int) -> None:
    with pytest.raises(CniError, match="beyond what the kernel can count") as refused:
        inward(rate, burst)
    assert (refused.value.code, '"ingressRate"' in refused.value.remedy) == (7, True)


def test_a_burst_of_minutes_is_refused() -> None:
    with pytest.raises(CniError, match="beyond what the kernel can count"):
        inward(8, 8 * 300)


MOST_OF_KUBERNETES = 10**15
"""What an annotation of Kubernetes may ask for: 1k to 1P."""


@given(
    rate=st.integers(1000, MOST_OF_KUBERNETES),
    burst=st.sampled_from([2**32 - 1, 2**31 - 1, (2**32 - 1) * 8 - 1, 2**64 - 1]),
)
def test_a_burst_of_a_runtime_is_cut_whatever_the_rate(rate: int, burst: int) -> None:
    bucket = inward(rate, burst, typed=False)
    assert bucket
    assert bucket.rate == rate // 8
    assert bucket.buffer <= burst // 8 * 10**6 // bucket.rate


def test_the_burst_of_containerd_is_cut_to_268_seconds() -> None:
    assert inward(1_000_000, 2**32 - 1, typed=False) == Bucket(125_000, 3125 + 33_554_431, 268_435_448)


@pytest.mark.parametrize(("rate", "burst"), [(16_000_000, 8), (100, 8), (2**36, 8)])
@pytest.mark.parametrize("typed", [True, False])
def test_a_burst_that_lets_nothing_pass_is_refused_by_its_key(rate: int, burst: int, *, typed: bool) -> None:
    with pytest.raises(CniError, match="lets nothing pass") as refused:
        inward(rate, burst, typed=typed)
    assert (refused.value.code, '"ingressRate"' in refused.value.remedy) == (7, True)


@pytest.mark.parametrize(
    ("rate", "burst", "expected"),
    [
        (8_000_000, 80_000, Bucket(1_000_000, 35_000, 10_000)),
        (1_000_000, 2**32 - 1, Bucket(125_000, 536_874_036, 171_798_684)),
        (17_000_000, (2**32 - 1) * 8 - 1, Bucket(2_125_000, 53_123, 97_015_731)),
    ],
)
def test_the_references_wrapped_numbers_are_known(rate: int, burst: int, expected: Bucket) -> None:
    limit = Limit(rate, burst, "egressRate", typed=False)
    assert shaping(Settings(None, limit), OWNER).reference_outward == expected


def test_without_limits_there_is_nothing_to_do() -> None:
    assert not shaping(Settings(None, None), OWNER).limits


def test_the_hosts_end_is_one_without_sandbox() -> None:
    interfaces = (Interface("br0"), Interface("veth1"), Interface("eth0", sandbox="/run/netns/x"))
    assert host_ends(Result(interfaces=interfaces)) == {"br0", "veth1"}
    with pytest.raises(CniError, match=r"^no interfaces provided"):
        host_ends(Result())
