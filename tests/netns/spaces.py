"""Private network namespaces for tests: made empty, held by a descriptor only, gone when the test lets go of it.

No name is bound anywhere and no process stays behind: a thread makes the namespace for itself, opens it and ends. Other
programs reach one by its `path`, as long as this process lives.
"""

import ctypes
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_interface

from kernel import netns
from kernel.netlink.handle import Handle
from kernel.netlink.requests import AddAddress, AddVeth, SetLink
from kernel.netns import CLONE_NEWNET, Namespace


class Space:
    """A network namespace of the test's own, with its loopback up, and the network in it; or `namespace`, as it stands."""

    def __init__(self, name: str, namespace: Namespace | None = None) -> None:
        self.name = name
        with ThreadPoolExecutor(max_workers=1) as maker:
            self.namespace = namespace or maker.submit(_unshare).result()
        self.path = f"/proc/{os.getpid()}/fd/{self.namespace.fd}"
        self.network = Handle(self.namespace)
        if namespace is None:
            self.network.apply(SetLink("lo", up=True))

    def close(self) -> None:
        """Let go of it: the kernel takes the namespace down with every link, route and rule in it."""
        self.network.close()
        self.namespace.close()

    def run(self, *arguments: str) -> str:
        """Run a program in it and return what it printed; subprocess.CalledProcessError when it fails."""
        with netns.inside(self.namespace):
            child = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        out, err = child.communicate(timeout=30)
        if child.returncode:
            raise subprocess.CalledProcessError(child.returncode, arguments, out, err)
        return out

    def index(self, name: str) -> int:
        """Return the index of a link that must exist."""
        link = self.network.link(name)
        assert link is not None, f"no link {name} in {self.name}"
        return link.index


def _unshare() -> Namespace:
    """Move this thread, and only it, into a new network namespace, and open that."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"unshare: {os.strerror(number)}")
    return netns.current()


def cable(near: Space, near_end: str, far: Space, far_end: str) -> None:
    """Join two spaces by a veth pair, both ends up; an end is written "name" or "name=address/length"."""
    (near_name, _, near_address), (far_name, _, far_address) = near_end.partition("="), far_end.partition("=")
    near.network.apply(AddVeth(near_name, far_name, far.namespace))
    far.network.apply(SetLink(far_name, up=True))
    for space, name, address in ((near, near_name, near_address), (far, far_name, far_address)):
        if address:
            space.network.apply(AddAddress(space.index(name), ip_interface(address), nodad=True))
