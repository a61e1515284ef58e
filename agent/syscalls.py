"""Two system calls about another process that Python lacks, and that are quicker than reading files below /proc.

They are for a process with one thread: the kernel always writes to the same memory.
"""

import ctypes
import os
import struct

AT_FDCWD = -100  # linux/fcntl.h
STATX_INO, STATX_MNT_ID = 0x100, 0x1000  # linux/stat.h
AT_STATX_DONT_SYNC = 0x4000  # linux/fcntl.h: a file system that asks a server, or a process, is not waited for
STATX = struct.Struct("=I28xQ96xIIQ104x")  # struct statx: mask, inode, device (two halves), mount
CAPABILITY_VERSION = 0x20080522  # _LINUX_CAPABILITY_VERSION_3 of linux/capability.h
HEADER = struct.Struct("=Ii")  # struct __user_cap_header_struct: version, pid
SETS = struct.Struct("=I8xI8x")  # struct __user_cap_data_struct[2]: the lower and the upper effective ones

_LIBC = ctypes.CDLL(None, use_errno=True)
_STATX, _SETS = ctypes.create_string_buffer(STATX.size), ctypes.create_string_buffer(SETS.size)


def directory(path: str) -> tuple[tuple[int, int], int]:
    """Return (device, inode) of the directory at `path`, links followed, and the number of the mount it is on (statx(2))."""
    _check(_LIBC.statx(AT_FDCWD, os.fsencode(path), AT_STATX_DONT_SYNC, STATX_INO | STATX_MNT_ID, _STATX))
    mask, inode, major, minor, mount = STATX.unpack(_STATX)
    if not mask & STATX_MNT_ID:
        raise OSError(f"statx tells no mount of {path}: Linux 5.8 or newer does")
    return (os.makedev(major, minor), inode), mount


def capabilities(pid: int) -> int:
    """Return the effective capabilities of a process, a bit each (capget(2))."""
    asked = HEADER.pack(CAPABILITY_VERSION, pid)  # the kernel writes to a header of another version only
    _check(_LIBC.capget(asked, _SETS))
    lower, upper = SETS.unpack(_SETS)
    return int(lower | upper << 32)


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
