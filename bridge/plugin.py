"""The verbs of `bridge`: ADD, CHECK, DEL, GC and STATUS, and the repair of rules.

ADD decides everything before it changes the kernel, and gives IPAM's addresses back when a later step fails. DEL
attempts every step and reports all failures together.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace

from bridge import check, config, spoof_filter, spoofchk, tunnel_filter, unwire, wire
from bridge.masquerade import apply
from bridge.plan import Attachment, attachment, same_reading
from cni import invoke
from cni.attachment_id import AttachmentID
from cni.errors import CniError, Code
from cni.request import Request, allows_own_netns
from cni.types import Result
from kernel import netns
from kernel.errors import KernelError, NamespaceGone
from kernel.netlink.handle import Handle
from lease import file as lease_file
from system.ip import IPAddress


def add(request: Request) -> Result:
    """Attach the container and return the result; when any step fails, everything is undone."""
    settings = config.parse(request)
    # Read before IPAM is asked: same_reading notices a lease that changes in between.
    lease = _lease(settings, Code.TRY_AGAIN_LATER)
    with ExitStack() as undo, _doors(request) as (host, container):
        given = _addresses(request, settings, undo)
        same_reading(settings, lease, given)
        plan = attachment(settings, AttachmentID.of(request), lease, given, sandbox=request.netns)
        if lease is not None:
            tunnel_filter.keep_out(settings.subnet_file, lease, plan.gateway_link, host)
        built = wire.wire(plan, host, container)
        undo.pop_all()
    return replace(built, dns=settings.dns or given.dns, extra=given.extra)


def check_attachment(request: Request) -> None:
    """Compare the kernel with the plan that prevResult stands for. Raises CniError 102 with the first difference."""
    settings = config.parse(request)
    if settings.ipam_type:
        invoke.delegate(request, settings.ipam_type, "CHECK")
    with _as_added(request, settings) as (plan, earlier, host, container):
        check.check(plan, earlier, host, container)


def restore(request: Request) -> None:
    """Add the rules of an existing attachment again after something flushed them.

    `tulle repair` calls it, no runtime does.

    It takes what CHECK takes, and adds only rules: when links or addresses are missing, it raises CniError 102.
    """
    settings = config.parse(request)
    with _as_added(request, settings) as (plan, earlier, host, container):
        _, port, end = check.cable(plan, earlier, host, container)
        if apply.missing(plan):
            apply.add(plan)
        if plan.mac_check and not spoof_filter.stands(plan.owner, port.name):
            spoof_filter.watch(plan.owner, port.name, end.mac)
        if plan.spoof_check and not spoofchk.stands(plan.port(port.name, end.mac)):
            spoofchk.mend(plan.owner, plan.port(port.name, end.mac))
        if lease := _lease_if_readable(settings):
            tunnel_filter.keep_out(settings.subnet_file, lease, plan.gateway_link, host)


def delete(request: Request) -> None:
    """Remove what belongs to the attachment.

    Every step is attempted; what is absent counts as removed (docs/reference/cni.md 1.11).
    """
    left = config.parse_leftovers(request)
    owner = AttachmentID.of(request)

    def shared() -> set[IPAddress] | None:
        """Return this interface's addresses if another interface of the container shares its chain, else None."""
        return {*_recorded_addresses(request), *removal.addresses} if unwire.siblings(owner) else None

    removal = unwire.Removal(
        owner, request.netns, remember=left.may_masquerade, recorded=lambda: _recorded_ports(request)
    )
    with removal:
        steps: list[Callable[[], object]] = [removal.begin]
        # The kernel deletes the link meanwhile, which takes 15 ms and more: time enough to remove these rules.
        if left.may_masquerade:
            steps.append(lambda: apply.forget_modern(owner))
            steps.append(lambda: apply.forget_legacy(owner, shared))
        steps.append(removal.finish)
        # Only now may another container get the address: while our port exists, it could still send from it.
        if left.ipam_type:
            steps.append(lambda: invoke.delegate(request, left.ipam_type, "DEL") if removal.finished else None)
        if left.mac_check:
            steps.append(lambda: _unguard(request, owner))
        steps.append(lambda: spoofchk.dismiss(owner, search=left.spoof_check) if removal.finished else None)
        _attempt_all(steps)


def collect(request: Request) -> None:
    """Remove what belongs to attachments that the runtime does not list any more. Without a list nothing is removed."""
    owners = AttachmentID.known_to(request)
    left = config.parse_leftovers(request)
    steps: list[Callable[[], object]] = []
    deleted: set[str] = set()

    def free_addresses() -> None:
        """Remove the ports first, then free the addresses.

        An address must not be given away while an old port can send from it.
        """
        if owners is not None:
            deleted.update(unwire.unplug_strangers(request.name, owners))
        if left.ipam_type:
            invoke.delegate(request, left.ipam_type, "GC")

    steps.append(free_addresses)
    if owners is not None:
        steps.append(lambda: apply.forget_modern_strangers(request.name, owners))
        steps.append(lambda: apply.forget_legacy_strangers(request.name, owners))
        steps.append(spoof_filter.forget_orphans)
        steps.append(lambda: spoofchk.dismiss_orphans(deleted))
    _attempt_all(steps)


def status(request: Request) -> None:
    """Raise CniError 50, with what is missing, unless an ADD could succeed now."""
    settings = config.parse(request)
    lease = _lease(settings, Code.NOT_AVAILABLE)
    if not lease.ipmasq if settings.ip_masq is None and lease else settings.ip_masq:
        apply.require(settings.masq_backend)
    if settings.mac_check:
        spoof_filter.require()
    if settings.spoof_check:
        spoofchk.require()
    with Handle() as host:
        wire.require_bridge(settings.bridge, host, filtering=settings.vlan_filtering)
    if settings.ipam_type:
        invoke.delegate(request, settings.ipam_type, "STATUS")


@contextmanager
def _as_added(request: Request, settings: config.Settings) -> Iterator[tuple[Attachment, Result, Handle, Handle]]:
    """Yield the plan that prevResult stands for, prevResult, and handles for both namespaces."""
    earlier = request.prev_result
    if earlier is None:
        raise CniError(
            Code.INVALID_CONFIG,
            "Required prevResult missing",
            "CHECK compares with the result of ADD: pass it as prevResult",
        )
    lease = _lease_if_readable(settings)
    with _doors(request) as (host, container):
        given = _of_container(earlier, request)
        plan = attachment(settings, AttachmentID.of(request), lease, given, sandbox=request.netns)
        yield plan, earlier, host, container


def _recorded_addresses(request: Request) -> set[IPAddress]:
    """Return the addresses of this interface in prevResult, as far as the runtime passed it."""
    with suppress(CniError):
        if request.prev_result is not None:
            return {entry.address.ip for entry in _of_container(request.prev_result, request).ips}
    return set()


def _recorded_ports(request: Request) -> set[str]:
    """Return the names of the host's links in prevResult, as far as the runtime passed it."""
    with suppress(CniError):
        if request.prev_result is not None:
            return {entry.name for entry in request.prev_result.interfaces if entry.name and not entry.sandbox}
    return set()


def _unguard(request: Request, owner: AttachmentID) -> None:
    """Remove the rules against forged MACs. A failure is only logged: without the port these rules have no effect."""
    try:
        spoof_filter.forget(owner)
    except KernelError as refused:
        request.log(f"bridge: rules against forged MACs of {owner.alias} stay: {refused}")


def _of_container(earlier: Result, request: Request) -> Result:
    """Return `earlier` with only the addresses of this interface: chained programs may have added others."""
    own = {
        index
        for index, entry in enumerate(earlier.interfaces)
        if (entry.name, entry.sandbox) == (request.ifname, request.netns)
    }
    return replace(earlier, ips=tuple(entry for entry in earlier.ips if entry.interface in own))


def _lease(settings: config.Settings, code: Code) -> lease_file.Lease | None:
    """Return the lease, or None when no lease file is named. Raises CniError `code` with path, cause and remedy."""
    if not settings.subnet_file:
        return None
    try:
        return lease_file.read(settings.subnet_file)
    except lease_file.Unavailable as missing:
        raise CniError(code, f"lease file {missing.path}: {missing.reason}", missing.remedy) from missing


def _lease_if_readable(settings: config.Settings) -> lease_file.Lease | None:
    with suppress(CniError):
        return _lease(settings, Code.TRY_AGAIN_LATER)
    return None


@contextmanager
def _doors(request: Request) -> Iterator[tuple[Handle, Handle]]:
    """Yield one handle for the host's namespace and one for the container's.

    The process itself stays in its namespace.
    """
    try:
        namespace = netns.open_other(request.netns, allow_own=allows_own_netns(request.environ))
    except NamespaceGone as gone:
        raise CniError(
            Code.INVALID_NETNS,
            f'failed to open netns "{request.netns}": {gone}',
            "pass the path of a network namespace in CNI_NETNS",
        ) from gone
    with namespace, Handle() as host, Handle(namespace, lazy=True) as container:
        yield host, container


def _addresses(request: Request, settings: config.Settings, undo: ExitStack) -> Result:
    """Return IPAM's answer, and register on `undo` that it is given back.

    Without IPAM the attachment has no addresses.
    """
    if not settings.ipam_type:
        return Result()
    given = invoke.delegate(request, settings.ipam_type, "ADD")
    undo.callback(_give_back, request, settings.ipam_type)
    if not given.ips:
        raise CniError(
            Code.INVALID_CONFIG,
            "IPAM plugin returned missing IP config",
            f"the program {settings.ipam_type} gave no address",
        )
    return given


def _give_back(request: Request, ipam_type: str) -> None:
    with suppress(CniError):
        invoke.delegate(request, ipam_type, "DEL")


def _attempt_all(steps: list[Callable[[], object]]) -> None:
    """Run every step and raise all failures together."""
    failures: list[Exception] = []
    for step in steps:
        try:
            step()
        except (CniError, KernelError) as failure:
            failures.append(failure)
    if failures:
        raise ExceptionGroup("not everything could be removed", failures)
