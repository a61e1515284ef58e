"""Converts requests to netlink messages: which function writes which request.

A request is one message, except where the kernel wants two. One that cannot be written is refused here with EINVAL,
before anything is sent.
"""

import errno
from collections.abc import Callable, Mapping
from typing import Any

from kernel.errors import KernelError
from kernel.netlink import address, link_write, requests, route, tc
from kernel.netlink.link_write import packed_mac
from kernel.netlink.requests import Request


def encode(request: Request) -> list[bytearray]:
    """Return the messages of one request, in order, with sequence number 0; KernelError EINVAL for a malformed one."""
    try:
        written = WRITERS[type(request)](request)
    except ValueError as error:
        raise KernelError(errno.EINVAL, request.what(), str(error)) from error
    return written if isinstance(written, list) else [written]


WRITERS: Mapping[type, Callable[[Any], bytearray | list[bytearray]]] = {
    requests.AddBridge: link_write.add_bridge,
    requests.AddVeth: link_write.add_veth,
    requests.AddVxlan: link_write.add_vxlan,
    requests.AddWireguard: link_write.add_wireguard,
    requests.AddIfb: link_write.add_ifb,
    requests.SetLink: link_write.set_link,
    requests.DeleteLink: link_write.delete_link,
    requests.AddVlans: link_write.add_vlans,
    requests.DeleteVlans: link_write.delete_vlans,
    requests.AddAddress: address.add,
    requests.DeleteAddress: address.delete,
    requests.AddRoute: route.add_route,
    requests.DeleteRoute: route.delete_route,
    requests.AddNeighbour: lambda request: route.add_neighbour(request, packed_mac(request.mac)),
    requests.DeleteNeighbour: route.delete_neighbour,
    requests.AddFdb: lambda request: route.add_fdb(request, packed_mac(request.mac)),
    requests.DeleteFdb: lambda request: route.delete_fdb(request, packed_mac(request.mac)),
    requests.AddTokenBucket: tc.add_bucket,
    requests.AddRedirect: tc.add_redirect,
    requests.DeleteQdisc: tc.delete,
}
