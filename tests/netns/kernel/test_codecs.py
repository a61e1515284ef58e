"""Claims about kernel.encoding and kernel.decoding that the kernel cannot be made to show.

- nothing of pyroute2 escapes: neither for a request it chokes on nor for an answer it cannot read
- KernelError is no relative of pyroute2's exceptions
- a link without a MAC address has none; answers of other families are left out
"""

import errno
from collections.abc import Callable
from ipaddress import ip_address
from socket import AF_INET
from typing import Any

import pytest

from kernel import decoding, encoding, links, rows
from kernel.errors import KernelError, NamespaceGone
from kernel.messages import ifaddrmsg, ifinfmsg, ndmsg, rtmsg
from kernel.requests import AddFdb, SetLink
from kernel.transport import Answer
from tests.netns.spaces import Space

MPLS = 28  # AF_MPLS


def test_kernel_errors_are_no_relatives_of_pyroute2s() -> None:
    family = {base.__module__ for kind in (KernelError, NamespaceGone) for base in kind.__mro__}
    assert family == {"kernel.errors", "builtins"}


def test_a_value_that_does_not_fit_is_a_kernel_error() -> None:
    with pytest.raises(KernelError, match="does not fit") as refused:
        encoding.encode(AddFdb(2**40, "02:00:00:00:00:07", ip_address("192.0.2.1")))
    assert refused.value.errno == errno.EINVAL


@pytest.mark.parametrize("data", [b"", bytes(8), bytes(16) + b"\xff" * 3], ids=["empty", "short", "cut"])
@pytest.mark.parametrize(
    "reader", [links.read, decoding.address, rows.route, rows.configured_route, rows.neighbour, rows.fdb]
)
def test_an_answer_that_cannot_be_read_is_a_kernel_error(
    host: Space, reader: Callable[[bytes], object], data: bytes
) -> None:
    with pytest.raises(KernelError, match="reading it in") as refused:
        host.network._decode(reader, Answer(16, 0, 1, data), "reading it")
    assert refused.value.errno == errno.EBADMSG


def test_a_question_that_does_not_fit_is_a_kernel_error(host: Space) -> None:
    with pytest.raises(KernelError, match=r"reading neighbours of link 1099511627776 .*does not fit"):
        host.network.neighbours(2**40)


def test_a_link_without_a_mac_has_none() -> None:
    attributes = [("IFLA_IFNAME", "tunl0"), ("IFLA_ADDRESS", "0a:00:00:01:00:00")]
    data = encoding.message(ifinfmsg, 16, 0, {"ifi_type": 768, "index": 4}, attributes)
    link = links.read(bytes(data))
    assert (link.name, link.mac) == ("tunl0", "")


def _answer(layout: Any, family: int, flags: int = 0) -> bytes:
    return bytes(encoding.message(layout, 16, 0, {"family": family, "flags": flags}, []))


def test_other_families_are_left_out() -> None:
    bridged = _answer(rtmsg, rows.AF_BRIDGE)
    found = [decoding.address(_answer(ifaddrmsg, MPLS)), rows.neighbour(_answer(ndmsg, rows.AF_BRIDGE))]
    assert [*found, rows.route(bridged), rows.configured_route(bridged)] == [None] * 4
    assert rows.fdb(_answer(ndmsg, AF_INET)) is None


def test_remembered_clones_are_no_configured_routes() -> None:
    clone = _answer(rtmsg, AF_INET, flags=rows.RTM_F_CLONED)
    assert rows.configured_route(clone) is None
    assert rows.route(clone) is not None


def test_every_request_is_encoded_as_whole_aligned_messages() -> None:
    (message,) = encoding.encode(SetLink("lo", alias="abc"))
    assert int.from_bytes(message[:4], "little") <= len(message)
    assert len(message) % 4 == 0
