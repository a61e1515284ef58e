"""Requests for the program `portmap`, made of keys."""

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
MAPPING = {"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}


def asked(*mappings: Any, **keys: Any) -> Request:
    """Return the ADD of a configuration with these mappings and keys."""
    document = {"cniVersion": "1.0.0", "name": "net", "type": "portmap", **keys}
    if mappings:
        document["runtimeConfig"] = {"portMappings": list(mappings)}
    return request.compose(ENVIRON, json.dumps(document).encode(), lambda _: None)
