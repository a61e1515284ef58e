"""A record as libcni writes it, for the tests of `tulle repair`."""

import base64
import json
from typing import Any

LIST = {
    "cniVersion": "1.0.0",
    "name": "net",
    "plugins": [{"type": "bridge"}, {"type": "portmap", "capabilities": {"portMappings": True}}],
}
RESULT = {
    "cniVersion": "1.0.0",
    "interfaces": [{"name": "br0"}, {"name": "eth0", "sandbox": "/run/netns/c1"}],
    "ips": [{"address": "10.1.0.2/16", "interface": 1}],
}


def document(config: object = LIST, **members: Any) -> dict[str, Any]:
    """Return a record whose `members` differ."""
    encoded = base64.b64encode(json.dumps(config).encode()).decode()
    return {
        "kind": "cniCacheV1",
        "containerId": "c1",
        "config": encoded,
        "ifName": "eth0",
        "networkName": "net",
        "cniArgs": [["IgnoreUnknown", "1"], ["K8S_POD_NAME", "web"]],
        "capabilityArgs": {"portMappings": [{"hostPort": 8080}], "ips": ["10.1.0.2"]},
        "result": RESULT,
        **members,
    }


def record(config: object = LIST, **members: Any) -> bytes:
    """Return its file's bytes."""
    return json.dumps(document(config, **members)).encode()
