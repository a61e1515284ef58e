"""The verbs of the driver.

netavark does not tear down what it could not set up, so a refused setup removes everything it made. A teardown attempts
every step.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace

from cni import invoke, request, skel
from cni.errors import CniError, Code
from driver import attachment, network, plan, register
from driver.register import Register
from kernel import netns as namespaces
from kernel.errors import KernelError
from kernel.netlink.handle import Handle
from lease import file as lease_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from cni.json_object import JsonObject
    from cni.request import InProcess
    from cni.types import Result
    from driver.attachment import Attachment, Names


ROOTLESS = "_CONTAINERS_ROOTLESS_UID"
"""Variable with the user for whom Podman made itself root in a user namespace (containers/storage, pkg/unshare)."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The surroundings of one call."""

    path: str  # where the CNI programs are (CNI_PATH)
    environ: Mapping[str, str]
    log: Callable[[str], object]  # takes lines for people
    in_process: InProcess | None = None  # runs a program inside this process
    caller: int = 0  # process id of netavark
    user: int = 0
    """The effective user of this process."""

    @property
    def register(self) -> Register:
        """The register of this host's containers with names."""
        return Register(register.FOLDER, self.caller, self.environ)


def create(document: JsonObject, around: Surroundings) -> dict[str, Any]:
    """Return the network that Podman stores. Raises CniError 7 for what no host could do, 4 for a rootless Podman."""
    _refuse_rootless(around)
    wanted = network.parse(document)
    around.log(f"tulle: {network.notice(wanted)}")
    try:
        lease_file.read(wanted.lease)
    except lease_file.Unavailable as missing:
        around.log(f"tulle: containers cannot start on it yet: {missing}")
    return network.kept(wanted, document)


def _refuse_rootless(around: Surroundings) -> None:
    """Refuse a rootless Podman: its containers are in a network namespace of their own, without the overlay.

    In its user namespace Podman is root, so the user it works for decides.
    """
    if around.user or around.environ.get(ROOTLESS, "0") not in {"", "0"}:
        raise CniError(
            Code.INVALID_ENVIRONMENT,
            "a network of the overlay needs Podman as root, this one is rootless",
            remedy="run it as root: sudo podman network create -d tulle NAME, and sudo podman run --network NAME",
        )


def setup(document: JsonObject, netns: str, around: Surroundings) -> dict[str, Any]:
    """Attach the container, publish its ports and names, and return netavark's status block.

    When a step fails, everything is undone.
    """
    asked = attachment.parse(document)
    _require_families(asked)
    with ExitStack() as undo:
        attached = _attach(asked, netns, around)
        undo.callback(_take_back, asked.names, netns, around)
        ports = plan.portmap(asked, attached)
        if ports is not None:
            _call(around, asked.names, netns, "portmap", "ADD", ports)
        elif asked.ports:
            around.log(f"tulle: no port is published through {asked.network.name}, which is internal")
        told = plan.status(attached, asked.names, netns)
        told |= _name(asked, attached, netns, around)
        undo.pop_all()
    return told


def teardown(document: JsonObject, netns: str, around: Surroundings) -> None:
    """Remove everything of the attachment, with or without its namespace. Raises all failures as one group."""
    _remove(attachment.parse_names(document), netns, around)


def _name(asked: Attachment, attached: Result, netns: str, around: Surroundings) -> dict[str, Any]:
    """Return the name servers for the container.

    Without names it works as well, so an error with them refuses nothing.
    """
    if not asked.network.names:
        return {}
    try:
        servers, trouble = around.register.enter(*plan.named(asked, attached, netns))
    except OSError as failure:
        servers, trouble = (), str(failure)
    if trouble:
        around.log(f"tulle: names of containers do not resolve on {asked.network.name}: {trouble}")
    return plan.resolver(servers)


def _attach(asked: Attachment, netns: str, around: Surroundings) -> Result:
    """Return the result of `bridge`. What a killed setup of the same container left is removed first.

    It is only in the way when the container has no interface of that name, so it belongs to nothing that lives.
    """
    told = plan.bridge(asked)
    try:
        return _call(around, asked.names, netns, "bridge", "ADD", told)
    except CniError as refused:
        if refused.code != Code.CONFLICT or _is_attached(asked.names, netns):
            raise
        _remove(asked.names, netns, around)
        return _call(around, asked.names, netns, "bridge", "ADD", told)


def _is_attached(names: Names, netns: str) -> bool:
    with namespaces.open_path(netns) as namespace, Handle(namespace) as container:
        return container.link(names.ifname) is not None


def _require_families(asked: Attachment) -> None:
    """Raise CniError unless the lease has the IPv6 subnet that `--ipv6` requires.

    `bridge` reports other faults of a lease.
    """
    if not asked.network.ipv6:
        return
    try:
        lease = lease_file.read(asked.network.lease)
    except lease_file.Unavailable:
        return
    if lease.ipv6_subnet is None:
        raise CniError(
            Code.INVALID_CONFIG,
            f"network {asked.network.name} was created with --ipv6, and the lease {asked.network.lease} has no IPv6 subnet",
            'give the overlay "EnableIPv6" and "IPv6Network", or create the network without --ipv6',
        )


def _take_back(names: Names, netns: str, around: Surroundings) -> None:
    """Remove what a refused setup made. What cannot be removed is logged, beside the refusal."""
    try:
        _remove(replace(names, is_mapped=True), netns, around)
    except (ExceptionGroup, CniError, KernelError) as failure:
        around.log(f"tulle: not everything of {names.container_id} could be removed: {failure!r}")


def _remove(names: Names, netns: str, around: Surroundings) -> None:
    """Remove the names first: if this process is killed, no name leads to what is left."""
    failures: list[Exception] = []
    try:
        around.register.strike(names.alias)
    except OSError as failure:
        failures.append(failure)
    for program, told in plan.removals(names):
        try:
            _call(around, names, netns, program, "DEL", told)
        except CniError as failure:
            failures.append(failure)
    if failures:
        raise ExceptionGroup(f"teardown of {names.container_id}", failures)


def _call(around: Surroundings, names: Names, netns: str, program: str, verb: str, told: bytes) -> Result:
    """Run one program as a runtime does. Raises its error."""
    environ = {
        **around.environ,
        "CNI_COMMAND": verb,
        "CNI_CONTAINERID": names.container_id,
        "CNI_NETNS": netns,
        "CNI_IFNAME": names.ifname,
        "CNI_ARGS": "",
        "CNI_PATH": around.path,
    }
    asked = request.compose(environ, told, around.log)
    asked = replace(asked, own_netns=skel.OWN_NETNS, in_process=around.in_process)
    return invoke.delegate(asked, program, verb)
