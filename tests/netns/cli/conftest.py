"""The hosts and daemons of the daemon's own tests, for those of the command that looks at them."""

from tests.netns.overlay.conftest import hosts, start

__all__ = ["hosts", "start"]
