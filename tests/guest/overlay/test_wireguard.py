"""Claim: with the kernel's own WireGuard, hosts reach each other in both address families, and again after a reboot, with their keys."""

import pytest

from tests.netns.overlay.test_wireguard import Begin, tell_the_story


@pytest.fixture
def mode() -> str:
    return "separate"


def test_the_kernels_own_device_carries_both_families_and_a_reboot_keeps_the_key(mode: str, begin: Begin) -> None:
    for device in tell_the_story(mode, begin):
        assert device.kind == "wireguard"
