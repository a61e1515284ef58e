"""Decides how Docker's bridge docker0 gets this host's subnet: by the options of flannel's mk-docker-opts.sh.

See docs/reference/flannel.md 8. Where systemd starts Docker, a drop-in reads the lease at every start; else the lease
is written into daemon.json. As with the reference it is for IPv4 only; for what Docker 28 and later drop of other
hosts' packets see docs/init.md.
"""

import json
import re
from collections.abc import Iterator

from cli.inspect.detect import DOCKER_SETTINGS, Docker
from lease.file import Lease

KEYS = ("bip", "bridge", "ip-masq", "mtu")
"""What dockerd accepts once only: in its settings, or as an option."""

OPTION = re.compile(r"(?:^|[\s\"'])(-b|--(?:bip|bridge|ip-masq|mtu))(?=[=\s\"']|$)")
VARIABLES = "$DOCKER_OPT_BIP $DOCKER_OPT_IPMASQ $DOCKER_OPT_MTU"
UNIT = """\
# Written by tulle init: Docker's bridge carries this host's share of the network, asked for at every start of Docker.
# The command is docker.service's own with three options more; when that one has changed, run tulle init docker again.
[Unit]
Wants=tulled.service
After=tulled.service

[Service]
EnvironmentFile=-/run/docker_opts.env
ExecStartPre=tulle docker-opts -i -f {lease}
ExecStart=
ExecStart={command} {variables}
"""


def unit(docker: Docker, lease_path: str) -> str:
    """Return the drop-in for docker.service, whose options come from the lease at that path when Docker starts."""
    return UNIT.format(lease=lease_path, command=docker.command, variables=VARIABLES)


def settings(lease: Lease) -> str:
    """Return daemon.json for a lease with an IPv4 subnet."""
    return json.dumps(_members(lease), indent=2) + "\n"


def obstacles(docker: Docker) -> Iterator[str]:
    """Yield what already configures Docker's bridge. dockerd does not start with two settings for it."""
    for key in KEYS:
        if key in docker.settings:
            yield f'{DOCKER_SETTINGS} has "{key}": {json.dumps(docker.settings[key])}'
    for place, words in (("docker.service", docker.command), ("DOCKER_OPTS in /etc/default/docker", docker.options)):
        yield from (f"{place} has {option}" for option in OPTION.findall(words))


def lines(lease: Lease) -> str:
    """Return what a person must add to a daemon.json that is not ours."""
    return ", ".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in _members(lease).items())


def _members(lease: Lease) -> dict[str, object]:
    return {"bip": str(lease.subnet), "ip-masq": not lease.ipmasq, "mtu": lease.mtu}
