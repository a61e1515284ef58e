"""Opens TUN devices: links whose IP packets a process of ours reads and writes, one packet per call.

The device exists as long as the descriptor is open (it is not made persistent).
"""

import errno
import os
import struct
from fcntl import ioctl

from kernel.errors import KernelError

PATH = "/dev/net/tun"
TUNSETIFF = 0x400454CA  # linux/if_tun.h
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000
NAME_BYTES = 15  # IFNAMSIZ - 1


def open_tun(name: str) -> int:
    """Make the TUN device `name`, down, in the namespace we are in; return its descriptor, non-blocking.

    Raises KernelError: EBUSY when another process has that device, EINVAL when the name is another kind of link's.
    """
    what = f"creating TUN device {name}"
    encoded = name.encode()
    if not 0 < len(encoded) <= NAME_BYTES:
        raise KernelError(errno.EINVAL, what, f"a name has 1 to {NAME_BYTES} bytes")
    try:
        descriptor = os.open(PATH, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        reason = f"{PATH} cannot be opened; load the module tun, or make the node in this container"
        raise KernelError(error.errno or errno.EIO, what, reason) from error
    try:
        ioctl(descriptor, TUNSETIFF, struct.pack("16sH22x", encoded, IFF_TUN | IFF_NO_PI))
    except OSError as error:
        os.close(descriptor)
        raise KernelError(error.errno or errno.EIO, what) from error
    return descriptor
