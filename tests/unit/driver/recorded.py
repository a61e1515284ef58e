"""What Podman 5.4.2 and netavark 1.14.0 wrote to a plugin's stdin, word for word but for host addresses."""

from typing import Any

CONTAINER = "757a57d3817b30acd9a763d04fab1b6201d534857ae669547e4307dced750d77"

CREATE: dict[str, Any] = {
    "name": "tulle",
    "id": "e44e26392e1c1017b3af94aa4cbdec72332e03e6ddf49e752ebc87f20cbe9038",
    "driver": "tulle",
    "created": "0001-01-01T00:00:00Z",
    "routes": [{"destination": "10.9.0.0/16", "gateway": "10.42.7.1", "metric": 7}],
    "ipv6_enabled": False,
    "internal": False,
    "dns_enabled": True,
    "labels": {"a": "b"},
}
"""podman network create -d tulle --route 10.9.0.0/16,10.42.7.1,7 --label a=b tulle"""

SETUP: dict[str, Any] = {
    "container_id": CONTAINER,
    "container_name": "web",
    "port_mappings": [
        {"container_port": 80, "host_ip": "", "host_port": 8080, "protocol": "tcp", "range": 1},
        {"container_port": 9000, "host_ip": "127.0.0.1", "host_port": 9000, "protocol": "udp", "range": 3},
    ],
    "network": {
        "dns_enabled": False,
        "driver": "tulle",
        "id": "e44e26392e1c1017b3af94aa4cbdec72332e03e6ddf49e752ebc87f20cbe9038",
        "internal": False,
        "ipv6_enabled": False,
        "name": "tulle",
        "network_interface": "tulle0",
        "options": {"lease": "/run/flannel/subnet.env"},
        "ipam_options": {"driver": "none"},
        "subnets": None,
        "routes": [{"gateway": "10.42.7.1", "destination": "10.9.0.0/16", "metric": 7}],
        "network_dns_servers": None,
    },
    "network_options": {
        "aliases": ["page", "757a57d3817b"],
        "interface_name": "lan0",
        "static_ips": ["10.42.7.9"],
        "static_mac": "02:00:00:00:00:09",
        "options": None,
    },
}
"""podman run --network tulle:ip=10.42.7.9,mac=02:00:00:00:00:09,alias=page,interface_name=lan0 -p 8080:80
-p 127.0.0.1:9000-9002:9000-9002/udp --name web ..."""

PLAIN: dict[str, Any] = {
    **SETUP,
    "port_mappings": None,
    "network": {key: value for key, value in SETUP["network"].items() if key != "routes"},
    "network_options": {
        "aliases": ["757a57d3817b"],
        "interface_name": "eth0",
        "static_ips": None,
        "static_mac": None,
        "options": None,
    },
}
"""podman run --network tulle ..."""
