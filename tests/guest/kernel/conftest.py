"""Namespaces of a test's own, as in tests/netns."""

from tests.netns.conftest import container, host, host_untouched, make_space, root_only

__all__ = ["container", "host", "host_untouched", "make_space", "root_only"]
