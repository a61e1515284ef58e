"""Claims about what is written to the kernel and read from it that the kernel cannot be made to show.

- a request that does not fit, and an answer that cannot be read, are KernelErrors
- answers of other families are left out, and so are routes the kernel only remembers
"""

import errno
import struct
from collections.abc import Callable
from ipaddress import ip_address
from socket import AF_INET

import pytest

from kernel.errors import KernelError
from kernel.netlink import address, codec, link_read, route
from kernel.netlink import message as frames
from kernel.netlink.requests import AddFdb, SetLink
from kernel.netlink.transport import Message
from tests.netns.spaces import Space

MPLS = 28  # AF_MPLS


def test_a_value_that_does_not_fit_is_a_kernel_error() -> None:
    with pytest.raises(KernelError, match="does not fit") as refused:
        codec.encode(AddFdb(2**40, "02:00:00:00:00:07", ip_address("192.0.2.1")))
    assert refused.value.errno == errno.EINVAL


@pytest.mark.parametrize("data", [b"", bytes(8), bytes(16) + b"\xff" * 3], ids=["empty", "short", "cut"])
@pytest.mark.parametrize(
    "reader", [link_read.read, address.read, route.route, route.configured_route, route.neighbour, route.fdb]
)
def test_an_answer_that_cannot_be_read_is_a_kernel_error(
    host: Space, reader: Callable[[bytes], object], data: bytes
) -> None:
    with pytest.raises(KernelError, match="reading it in") as refused:
        host.network._decode(reader, Message(16, 0, 1, data), "reading it")
    assert refused.value.errno == errno.EBADMSG


def test_a_question_that_does_not_fit_is_a_kernel_error(host: Space) -> None:
    with pytest.raises(KernelError, match=r"reading neighbours of link 1099511627776 .*does not fit"):
        host.network.neighbours(2**40)


def _answer(layout: struct.Struct, family: int, *rest: int) -> bytes:
    return bytes(frames.message(16, 0, layout.pack(family, *rest)))


def test_other_families_are_left_out() -> None:
    bridged = _answer(route.ROUTE, route.AF_BRIDGE, *[0] * 8)
    assert address.read(_answer(address.BODY, MPLS, 0, 0, 0, 1)) is None
    assert route.neighbour(_answer(route.NEIGHBOUR, route.AF_BRIDGE, 0, 0, 0, 0)) is None
    assert (route.route(bridged), route.configured_route(bridged)) == (None, None)
    assert route.fdb(_answer(route.NEIGHBOUR, AF_INET, 0, 0, 0, 0)) is None


def test_remembered_clones_are_no_configured_routes() -> None:
    clone = _answer(route.ROUTE, AF_INET, *[0] * 7, route.RTM_F_CLONED)
    assert route.configured_route(clone) is None
    assert route.route(clone) is not None


def test_every_request_is_encoded_as_whole_aligned_messages() -> None:
    (message,) = codec.encode(SetLink("lo", alias="abc"))
    assert int.from_bytes(message[:4], "little") <= len(message)
    assert len(message) % 4 == 0
