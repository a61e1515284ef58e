"""Writes this host's lease as options of dockerd, as flannel's mk-docker-opts.sh does (docs/reference/flannel.md 8).

It does not start or configure Docker. After writing, it warns when the subnet is routed through another host.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from lease import file as lease_file
from lease.file import Lease

OUTPUT = "/run/docker_opts.env"
KEY = "DOCKER_OPTS"
PREFIX = "DOCKER_OPT_"
SPECIAL = str.maketrans({letter: f"\\{letter}" for letter in '\\"$`'})
"""Characters that the shell, and after it systemd's EnvironmentFile, would interpret between double quotes."""


@dataclass(frozen=True, slots=True)
class Form:
    """How the options are written."""

    individual: bool = True  # one variable per option
    combined: bool = True  # all in one variable
    key: str = KEY  # name of that variable
    ip_masq: bool = True  # with --ip-masq


def declare(parser: argparse.ArgumentParser) -> None:
    """Add the reference's options to `parser`."""
    parser.add_argument(
        "-f", dest="lease", metavar="FILE", default=lease_file.DEFAULT_PATH, help="the lease file (default %(default)s)"
    )
    parser.add_argument(
        "-d", dest="output", metavar="FILE", default=OUTPUT, help="the file to write (default %(default)s)"
    )
    parser.add_argument("-i", dest="individual", action="store_true", help="write a variable for each option only")
    parser.add_argument("-c", dest="combined", action="store_true", help="write one variable with all options only")
    parser.add_argument(
        "-k", dest="key", metavar="NAME", default=KEY, help="name of that variable (default %(default)s)"
    )
    parser.add_argument("-m", dest="no_masquerade", action="store_true", help="leave --ip-masq out")


def run(options: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Write the file and return 0; 1 without a lease, if it cannot be written, or if the subnet is another host's."""
    unchosen = options.individual == options.combined
    form = Form(options.individual or unchosen, options.combined or unchosen, options.key, not options.no_masquerade)
    try:
        lease = lease_file.read(options.lease)
        Path(options.output).write_text("".join(f"{line}\n" for line in lines(lease, form, environ)), encoding="utf-8")
    except (lease_file.Unavailable, OSError) as reason:
        print(f"tulle docker-opts: {reason}", file=sys.stderr)
        return 1
    return _warn_of_another_way(lease)


def lines(lease: Lease, form: Form, environ: Mapping[str, str]) -> Iterator[str]:
    """Yield the lines NAME="value". Options, and a value of `form.key`, that are in `environ` already are kept."""
    inherited = {name: value for name, value in environ.items() if name.startswith(PREFIX)}
    options = dict(sorted({**inherited, **_options(lease, form)}.items()))
    if form.individual:
        for name, value in options.items():
            yield f'{name}="{value.translate(SPECIAL)}"'
    if form.combined:
        combined = " ".join((environ.get(form.key, ""), *options.values()))
        yield f'{form.key}="{combined.translate(SPECIAL)}"'


def _options(lease: Lease, form: Form) -> dict[str, str]:
    """Return the options by variable. Docker masquerades if the daemon does not.

    Its bridge has one address, an IPv4 one.
    """
    options = {f"{PREFIX}MTU": f"--mtu={lease.mtu}"}
    if lease.subnet:
        options[f"{PREFIX}BIP"] = f"--bip={lease.subnet}"
    if form.ip_masq:
        options[f"{PREFIX}IPMASQ"] = f"--ip-masq={'false' if lease.ipmasq else 'true'}"
    return options


def _warn_of_another_way(lease: Lease) -> int:
    """Return 1, and print a warning, if a route leads to exactly this host's IPv4 subnet through another host."""
    from kernel.netlink.handle import Handle  # noqa: PLC0415 - other commands must not pay for netlink

    if lease.subnet is None:
        return 0
    with Handle() as network:
        gateways = [route.gateway for route in network.routes() if route.dst == lease.subnet.network and route.gateway]
    if gateways:
        print(
            f"tulle docker-opts: warning: {lease.subnet.network} is already routed via {gateways[0]}: Docker's bridge would "
            "take it over; is the lease file another host's, or the route an old one (ip route del)?",
            file=sys.stderr,
        )
    return 1 if gateways else 0
