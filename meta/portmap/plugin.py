"""The verbs of `portmap`.

prevResult is returned unchanged. DEL and GC find the rules by the attachment's name, so they need no configuration,
namespace or prevResult.
"""

from __future__ import annotations

from contextlib import contextmanager

from cni.attachment_id import AttachmentID
from cni.errors import CniError
from kernel.errors import KernelError
from kernel.netlink.handle import Handle
from meta import prev_result
from meta.portmap import check, config, dry_run, plan, ports
from meta.portmap.state import Memories

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from cni.request import Request
    from cni.types import Result
    from meta.portmap.claims import Published
    from system.ip import IPAddress


def add(request: Request) -> Result:
    """Publish the ports and return prevResult. Without mappings nothing is changed."""
    with _explained():
        settings, before = config.parse(request), request.prev_result
    if before is None:
        raise prev_result.missing(request, "must be called as chained plugin")
    wanted = plan.publication(settings, AttachmentID.of(request), before)
    if wanted.mappings and wanted.sides:
        with Handle() as host:
            for command in ports.absent(wanted.addresses, host):
                request.log(
                    f"portmap: the host lacks an address that ports are published on; they answer after: {command}"
                )
            with _flows_forgotten(request) as gone:
                memories = Memories(settings.data_dir, request.log)
                gone.extend(ports.publish(wanted, settings.backend, memories, before, host))
        _forget_flows(request, wanted)
    elif wanted.mappings:
        request.log(f"portmap: {request.ifname} has no address in prevResult, so no port is published")
    return before


def check_attachment(request: Request) -> None:
    """Compare the kernel with what the configuration publishes. Raises CniError 102 that names the missing rules."""
    settings = config.parse(request)
    before = prev_result.required(request, "Required prevResult missing")
    wanted = plan.publication(settings, AttachmentID.of(request), before)
    if wanted.mappings and wanted.sides:
        remembered = Memories(settings.data_dir, request.log).recall(wanted.owner.mark)
        backend = settings.backend or (remembered.backend if remembered else ports.choose(""))
        with Handle() as host:
            check.check(wanted, backend, host, ours=remembered is not None)


def delete(request: Request) -> None:
    """Remove the attachment's rules. Nothing is done if neither the configuration nor a record says that there are any.

    A record counts as absent only where one could have been written.
    """
    left = config.parse_leftovers(request)
    owner = AttachmentID.of(request)
    memories = Memories(left.data_dir, request.log)
    remembered = memories.recall(owner.mark)
    if left.maybe_mapped or remembered or not memories.serve:
        with _flows_forgotten(request) as gone:
            ports.withdraw(owner, remembered.backend if remembered else "", _recorded_addresses(request), gone)
    memories.forget(owner)


def collect(request: Request) -> None:
    """Remove the rules of attachments that the runtime does not list any more. Without a list nothing is removed."""
    owners = AttachmentID.known_to(request)
    if owners is None:
        return
    memories = Memories(config.parse_leftovers(request).data_dir, request.log)
    try:
        with _flows_forgotten(request) as gone:
            ports.withdraw_strangers(request.name, owners, gone)
    finally:
        memories.forget_strangers(request.name, owners)


def status(request: Request) -> None:
    """Raise CniError 50, with what is missing, unless an ADD could succeed now."""
    settings = config.parse(request)
    dry_run.require(settings, ports.choose(settings.backend))


VERBS = {"ADD": add, "CHECK": check_attachment, "DEL": delete, "GC": collect, "STATUS": status}


def _forget_flows(request: Request, wanted: plan.Publication) -> None:
    """Delete old flows of the published ports. A failure is only logged: such flows go on to their old container."""
    try:
        ports.forget_flows(wanted)
    except KernelError as refused:
        request.log(f"portmap: old UDP flows to the ports of {wanted.owner.alias} stay: {refused}")


@contextmanager
def _flows_forgotten(request: Request) -> Iterator[list[Published]]:
    """Yield a list for ports that are no longer published; afterwards delete the flows to them, also after an error."""
    gone: list[Published] = []
    try:
        yield gone
    finally:
        try:
            ports.forget_flows_to(gone)
        except KernelError as refused:
            request.log(f"portmap: UDP flows to ports that are published no longer stay: {refused}")


def _recorded_addresses(request: Request) -> tuple[IPAddress, ...]:
    """Return the container's addresses in prevResult, as far as the runtime passed it."""
    before = prev_result.handed_back(request)
    return tuple(each.ip for each in plan.container_addresses(before, request.ifname)) if before else ()


@contextmanager
def _explained() -> Iterator[None]:
    """Begin errors of the configuration with the reference's text for ADD.

    See docs/reference/cni.md 4.1, configuration.
    """
    try:
        yield
    except CniError as refused:
        raise CniError(refused.code, f"failed to parse config: {refused.msg}", refused.remedy) from refused
