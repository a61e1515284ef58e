"""Claims: what is written reads back as the same entry, with rates beyond 32 bits; a redirection names its target, other filters
none; every message is whole and aligned; a value that does not fit is a ValueError.
"""

import struct

import pytest

from kernel.netlink import tc
from kernel.netlink.message import HEADER, attribute
from kernel.netlink.objects import Qdisc, TokenBucket
from kernel.netlink.requests import AddRedirect, AddTokenBucket, DeleteQdisc


@pytest.mark.parametrize("rate", [1, 125_000, 2**32 - 1, 2**32, 10**12])
@pytest.mark.parametrize("buffer", [0, 1, 7, 999_999, 2**28 - 1])
def test_a_token_bucket_reads_back(rate: int, buffer: int) -> None:
    bucket = TokenBucket(rate, limit=2**32 - 1, buffer=buffer)
    assert tc.read(bytes(tc.add_bucket(AddTokenBucket(7, bucket)))) == Qdisc(7, "tbf", tc.ROOT, bucket)


def test_a_redirection_reads_back() -> None:
    qdisc, redirect = tc.add_redirect(AddRedirect(7, to=9))
    assert tc.read(bytes(qdisc)) == Qdisc(7, "ingress", tc.INGRESS)
    assert tc.read_redirect(bytes(redirect)) == 9


@pytest.mark.parametrize(
    "options",
    [attribute(1, b"bpf\0"), attribute(1, b"u32\0"), attribute(1, b"u32\0") + attribute(2, attribute(7, b""))],
)
def test_other_filters_redirect_nowhere(options: bytes) -> None:
    body = tc.BODY.pack(0, 7, 0, tc.INGRESS_HANDLE, 0)
    assert tc.read_redirect(bytes(HEADER.size) + body + options) is None


def test_every_message_is_whole_and_aligned() -> None:
    bucket = AddTokenBucket(7, TokenBucket(2**33, 1, 1))
    questions = [tc.dump(7), tc.dump_redirects(7), tc.delete(DeleteQdisc(7, arriving=True))]
    for message in (tc.add_bucket(bucket), *tc.add_redirect(AddRedirect(7, 9)), *questions):
        assert (struct.unpack_from("=I", message)[0], len(message) % 4) == (len(message), 0)


@pytest.mark.parametrize("bucket", [TokenBucket(-1, 0, 0), TokenBucket(1, 2**32, 0), TokenBucket(1, 1, 2**32)])
def test_what_does_not_fit_is_refused(bucket: TokenBucket) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        tc.add_bucket(AddTokenBucket(7, bucket))
