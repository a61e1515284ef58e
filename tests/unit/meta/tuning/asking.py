"""Requests for the program `tuning`, made of keys."""

import json
from typing import Any

from cni import request
from cni.request import Request

ENVIRON = {
    "CNI_COMMAND": "ADD",
    "CNI_CONTAINERID": "c1",
    "CNI_NETNS": "/run/netns/x",
    "CNI_IFNAME": "eth0",
    "CNI_PATH": "/opt/cni/bin",
}


def asked(arguments: str = "", **keys: Any) -> Request:
    """Return the ADD of a configuration with these keys."""
    document = {"cniVersion": "1.0.0", "name": "net", "type": "tuning", **keys}
    return request.compose({**ENVIRON, "CNI_ARGS": arguments}, json.dumps(document).encode(), lambda _: None)
