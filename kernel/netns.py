"""Network namespaces by descriptor, and the only place where a process of ours enters one.

A path may be unmounted, reused or replaced while we work; a descriptor stays the same namespace. Entering moves the
calling thread only. Inside a namespace nothing is done but to open a socket, read or write a kernel parameter, or start
a program.
"""

import errno
import os
import sys
from _thread import _local
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fcntl import ioctl
from functools import cache
from typing import Self

from kernel.errors import KernelError, NamespaceGone

NS_GET_NSTYPE = 0xB703  # linux/nsfs.h
CLONE_NEWNET = 0x40000000  # linux/sched.h
SO_NETNS_COOKIE = 71  # asm-generic/socket.h
OWN = "/proc/thread-self/ns/net"
ATTEMPTS = 3
"""How often a thread tries to return to its own namespace: a refusal may be for a moment only."""

if sys.version_info >= (3, 12):
    _setns = os.setns
else:

    @cache
    def _libc() -> tuple[Callable[[int, int], int], Callable[[], int]]:
        """Return setns(2) and errno of the C library; ctypes costs 2 ms and is imported only here."""
        import ctypes  # noqa: PLC0415 - only when a namespace is really entered

        return ctypes.CDLL(None, use_errno=True).setns, ctypes.get_errno

    def _setns(fd: int, nstype: int) -> None:
        """Stand in for os.setns, which Python 3.12 brought."""
        setns, last_errno = _libc()
        if setns(fd, nstype) != 0:
            number = last_errno()
            raise OSError(number, os.strerror(number))


class Namespace:
    """An open network namespace; `identity` (device, inode) tells whether two are the same one."""

    __slots__ = ("fd", "identity", "path")

    def __init__(self, fd: int, path: str) -> None:
        status = os.fstat(fd)
        self.fd = fd
        self.path = path
        self.identity = (status.st_dev, status.st_ino)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the descriptor go; twice is fine. A namespace nobody holds is destroyed by the kernel."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def open_path(path: str) -> Namespace:
    """Open the network namespace bound at `path` (docs/reference/cni.md 7(d): once, close-on-exec, and verified to be one).

    Raises NamespaceGone when nothing is there or it is something else; KernelError when it may not be opened.
    """
    what = f'opening network namespace "{path}"'
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except ValueError:
        raise NamespaceGone(errno.EINVAL, what, "the path contains a null byte") from None
    except OSError as error:
        absent = error.errno in {errno.ENOENT, errno.ENOTDIR, errno.ESRCH, errno.ENXIO, errno.ELOOP, errno.ENAMETOOLONG}
        raise (NamespaceGone if absent else KernelError)(error.errno or errno.EIO, what) from error
    if not _is_network(fd):
        os.close(fd)
        raise NamespaceGone(errno.EINVAL, what, "this is no network namespace, or no longer one")
    return Namespace(fd, path)


def open_other(path: str, *, allow_own: bool = False) -> Namespace:
    """Open the namespace bound at `path` as open_path does, unless it is the one we are in.

    Whoever looked at the path before may have seen another one there: only what was opened can be told apart.
    """
    namespace = open_path(path)
    if not allow_own and namespace.identity == own_identity():
        namespace.close()
        raise NamespaceGone(errno.EINVAL, f'opening network namespace "{path}"', "it is this program's own")
    return namespace


def own_identity() -> tuple[int, int]:
    """Return the identity of the namespace of the calling thread; KernelError without /proc."""
    with _own() as own:
        return own.identity


def _is_network(fd: int) -> bool:
    try:
        return ioctl(fd, NS_GET_NSTYPE) == CLONE_NEWNET
    except OSError:
        return False


def current() -> Namespace:
    """Open the network namespace of the calling thread; KernelError without /proc."""
    return open_path(OWN)


def cookie() -> int:
    """Return the number that the calling thread's network namespace has, and no other one until the host starts anew.

    Before Linux 5.14, which brought it, the namespace's inode, that a later namespace may have again.
    """
    import socket  # noqa: PLC0415 - no program on a container's way asks for this

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as asking:
        try:
            return int.from_bytes(asking.getsockopt(socket.SOL_SOCKET, SO_NETNS_COOKIE, 8), sys.byteorder)
        except OSError:
            with current() as here:
                return here.identity[1]


@contextmanager
def inside(namespace: Namespace | None) -> Iterator[None]:
    """Enter `namespace` for the duration of the block; None, or the one we are in already, changes nothing.

    Raises KernelError when it cannot be entered, and when the thread cannot return to its own namespace after the
    block. As long as it has not returned, every further block, even one with None, first tries again, and is refused if
    that fails.
    """
    _return()
    if namespace is None:
        yield
        return
    own = _own()
    if own.identity == namespace.identity:  # setns(2) into the own namespace would need the privilege, too
        own.close()
        yield
        return
    try:
        _enter(namespace)
        yield
    finally:
        _pending.own, left = own, _pending.own
        if left is not None:  # by a block within this one
            left.close()
        _return()


class _Pending(_local):
    """The namespace that the calling thread still has to return to; None for none."""

    own: Namespace | None = None


_pending = _Pending()


def _return() -> None:
    own = _pending.own
    if own is None:
        return
    refused = OSError()
    for _ in range(ATTEMPTS):
        try:
            _setns(own.fd, CLONE_NEWNET)
        except OSError as error:
            refused = error
        else:
            _pending.own = None
            own.close()
            return
    raise KernelError(refused.errno or errno.EIO, "returning to the network namespace of this process") from refused


def _own() -> Namespace:
    """Return where the calling thread is; that it is a network namespace needs no proof."""
    try:
        return Namespace(os.open(OWN, os.O_RDONLY | os.O_CLOEXEC), OWN)
    except OSError as error:
        raise KernelError(error.errno or errno.EIO, f'opening network namespace "{OWN}"') from error


def _enter(namespace: Namespace) -> None:
    try:
        _setns(namespace.fd, CLONE_NEWNET)
    except OSError as error:
        what = f'entering network namespace "{namespace.path}"'
        raise KernelError(error.errno or errno.EIO, what) from error
