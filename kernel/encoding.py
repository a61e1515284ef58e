"""Turns requests into netlink messages: which module writes which request.

One request is one message, except where the kernel wants two; a request that cannot be put on the wire is refused here
with EINVAL, before the kernel sees it. Must not know sockets.
"""

import errno
from collections.abc import Callable, Mapping
from typing import Any

from kernel import addresses, devices, qdiscs, requests, rows
from kernel.devices import packed_mac
from kernel.errors import KernelError
from kernel.requests import Request


def encode(request: Request) -> list[bytearray]:
    """Return the messages of one request, in order, with sequence number 0; KernelError EINVAL for a malformed one."""
    try:
        written = WRITERS[type(request)](request)
    except ValueError as error:
        raise KernelError(errno.EINVAL, request.what(), str(error)) from error
    return written if isinstance(written, list) else [written]


WRITERS: Mapping[type, Callable[[Any], bytearray | list[bytearray]]] = {
    requests.AddBridge: devices.add_bridge,
    requests.AddVeth: devices.add_veth,
    requests.AddVxlan: devices.add_vxlan,
    requests.AddWireguard: devices.add_wireguard,
    requests.AddIfb: devices.add_ifb,
    requests.SetLink: devices.set_link,
    requests.DeleteLink: devices.delete_link,
    requests.AddVlans: devices.add_vlans,
    requests.DeleteVlans: devices.delete_vlans,
    requests.AddAddress: addresses.add,
    requests.DeleteAddress: addresses.delete,
    requests.AddRoute: rows.add_route,
    requests.DeleteRoute: rows.delete_route,
    requests.AddNeighbour: lambda request: rows.add_neighbour(request, packed_mac(request.mac)),
    requests.DeleteNeighbour: rows.delete_neighbour,
    requests.AddFdb: lambda request: rows.add_fdb(request, packed_mac(request.mac)),
    requests.DeleteFdb: lambda request: rows.delete_fdb(request, packed_mac(request.mac)),
    requests.AddTokenBucket: qdiscs.add_bucket,
    requests.AddRedirect: qdiscs.add_redirect,
    requests.DeleteQdisc: qdiscs.delete,
}
