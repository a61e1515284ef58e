"""A file that never answers: of a FUSE file system whose server opens it and says nothing to whoever reads, flushes or looks at it.

`silent()` gives its descriptor; the server runs in a mount namespace of its own, and its end frees whoever waits. The protocol is
linux/fuse.h's.
"""

import ctypes
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LOOKUP, GETATTR, OPEN, FLUSH, INIT = 1, 3, 14, 25, 26
IN, OUT = struct.Struct("<IIQQIIII"), struct.Struct("<IiQ")
ROOT, FILE = 1, 2
NAME = "silent"
ENOENT, ENOSYS = 2, 38


@contextmanager
def silent(*, closes: bool = True) -> Iterator[int]:
    """Yield a descriptor of a file that never answers, open for reading; unless it `closes`, not even who closes it."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        command = ["unshare", "--mount", "--propagation", "private", sys.executable, __file__, str(theirs.fileno())]
        command += ["closes"] if closes else []
        with subprocess.Popen(command, pass_fds=[theirs.fileno()], cwd="/") as server:
            try:
                ours.settimeout(20)
                _, [descriptor], _, _ = socket.recv_fds(ours, 1, 1)
                yield descriptor
            finally:
                server.kill()
        with suppress(OSError):  # its file system has gone
            os.close(descriptor)


def _attributes(inode: int) -> bytes:
    kind = 0o40755 if inode == ROOT else 0o100644
    return struct.pack("<6Q10I", inode, 1, 0, 0, 0, 0, 0, 0, 0, kind, 1, 0, 0, 0, 512, 0)


def _answer(operation: int, inode: int, body: bytes) -> bytes | int | None:
    """Return what is answered: bytes, an errno, or None for nothing."""
    if operation == INIT:
        return struct.pack("<IIIIHHIIHHI7I", 7, 31, 65536, 0, 12, 10, 65536, 1, 1, 0, 0, *[0] * 7)
    if operation == LOOKUP:
        known = body.rstrip(b"\0") == NAME.encode()
        return struct.pack("<QQQQII", FILE, 0, 0, 0, 0, 0) + _attributes(FILE) if known else ENOENT
    if operation == GETATTR and inode == ROOT:
        return struct.pack("<QII", 0, 0, 0) + _attributes(ROOT)
    if operation == FLUSH and "closes" in sys.argv:
        return ENOSYS
    if operation == OPEN:
        return struct.pack("<QII", 1, 1, 0)
    return None


def serve(device: int) -> None:
    """Answer what has to be answered for the file to be opened."""
    while True:
        message = os.read(device, 1 << 18)
        _, operation, unique, inode, *_ = IN.unpack_from(message)
        answer = _answer(operation, inode, message[IN.size :])
        if isinstance(answer, int):
            os.write(device, OUT.pack(OUT.size, -answer, unique))
        elif answer is not None:
            os.write(device, OUT.pack(OUT.size + len(answer), 0, unique) + answer)


def main() -> None:
    """Mount, serve, and send the open file over the socket whose number is the argument."""
    device = os.open("/dev/fuse", os.O_RDWR)
    place = Path("/mnt")
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0".encode()
    if ctypes.CDLL(None, use_errno=True).mount(b"silent", bytes(place), b"fuse", 0, options):
        raise OSError(ctypes.get_errno(), "mounting")
    opener = os.fork()
    if opener == 0:
        descriptor = os.open(place / NAME, os.O_RDONLY)
        with socket.socket(fileno=int(sys.argv[1])) as door:
            socket.send_fds(door, [b"!"], [descriptor])
        os._exit(0)  # its descriptor is not the last one, and its flush ends with the server
    serve(device)


if __name__ == "__main__":
    main()
