"""Claims: keys are made and derived; a device, the kernel's or wireguard-go's, reads back what it was set to; setting it again
keeps the peers that stay and removes the others; a device that is none is refused.
"""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from kernel import netns, wireguard
from kernel.errors import KernelError
from kernel.netlink.requests import DeleteLink
from kernel.wireguard import Peer, Settings
from tests.lab import waiting
from tests.netns.spaces import Space

DEVICE = f"wgt{os.getpid()}"
SOCKETS = Path("/run/wireguard")


@pytest.fixture
def device(host: Space) -> Iterator[Space]:
    """A space in which DEVICE exists; its carrier ends with it."""
    before = SOCKETS.exists()
    with netns.inside(host.namespace):
        wireguard.create(host.network, DEVICE)
        yield host
    host.network.attempt([DeleteLink(DEVICE)])
    waiting.until(lambda: not (SOCKETS / f"{DEVICE}.sock").exists(), "the carrier ended")
    if not before:
        with contextlib.suppress(OSError):
            SOCKETS.rmdir()


def peer(number: int) -> Peer:
    key = wireguard.public_key(wireguard.generate_key())
    allowed = frozenset({IPv4Network(f"10.42.{number}.0/24")})
    return Peer(key, (IPv4Address(f"192.0.2.{number}"), 51820), allowed, 25, wireguard.generate_key())


def test_a_device_reads_back_what_it_was_set_to(device: Space) -> None:
    two, three = peer(2), peer(3)
    settings = Settings(wireguard.generate_key(), 51820, frozenset({two, three}))
    wireguard.sync(DEVICE, settings)
    assert wireguard.show(DEVICE) == settings
    fewer = replace(settings, peers=frozenset({three}))
    wireguard.sync(DEVICE, fewer)
    assert wireguard.show(DEVICE) == fewer


def test_a_new_peer_has_carried_nothing(device: Space) -> None:
    key = wireguard.public_key(wireguard.generate_key())
    peer = wireguard.Peer(key, None, frozenset())
    wireguard.sync(DEVICE, wireguard.Settings(wireguard.generate_key(), 51820, frozenset({peer})))
    assert wireguard.transfer(DEVICE) == {key: (0, 0)}


def test_what_is_no_key_has_no_public_key() -> None:
    with pytest.raises(KernelError, match="deriving a WireGuard public key"):
        wireguard.public_key("nonsense")


def test_a_device_that_is_none_is_refused(host: Space) -> None:
    with netns.inside(host.namespace), pytest.raises(KernelError, match="reading WireGuard device lo"):
        wireguard.show("lo")
