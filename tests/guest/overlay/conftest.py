"""The fixtures of tests/netns/overlay, for the kernel that has a WireGuard of its own."""

from tests.netns.overlay.conftest import start
from tests.netns.overlay.test_wireguard import begin, wired

__all__ = ["begin", "start", "wired"]
