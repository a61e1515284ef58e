"""The verbs of `bridge`, each a short story told with config, plan, wire and check.

ADD decides everything before it touches the kernel and gives IPAM's address back when wiring fails. DEL attempts every
step and reports the failures together. Must not know nftables words or netlink requests.
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
from cni.types import IPAddress, Result
from kernel import netns
from kernel.errors import KernelError, NamespaceGone
from kernel.netlink.handle import Handle
from lease import file as lease_file


def add(request: Request) -> Result:
    """Attach the container; undone as a whole when any part of it fails."""
    settings = config.parse(request)
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
    """Compare the kernel with the plan that the earlier result stands for; CniError 102 names the first difference."""
    settings = config.parse(request)
    if settings.ipam_type:
        invoke.delegate(request, settings.ipam_type, "CHECK")
    with _as_added(request, settings) as (plan, earlier, host, container):
        check.check(plan, earlier, host, container)


def restore(request: Request) -> None:
    """Have the rules of a standing attachment stand again, which something flushed: `tulle repair` asks for it, no runtime does.

    Rules are all it adds: where the cable itself is not whole, CniError 102 says so. Takes what CHECK takes.
    """
    settings = config.parse(request)
    with _as_added(request, settings) as (plan, earlier, host, container):
        port, end = check.cable(plan, earlier, host, container)
        if apply.missing(plan):
            apply.add(plan)
        if plan.mac_check and not spoof_filter.stands(plan.owner, port.name):
            spoof_filter.watch(plan.owner, port.name, end.mac)
        if plan.spoof_check and not spoofchk.stands(plan.port(port.name, end.mac)):
            spoofchk.mend(plan.owner, plan.port(port.name, end.mac))
        if lease := _lease_if_readable(settings):
            tunnel_filter.keep_out(settings.subnet_file, lease, plan.gateway_link, host)


def delete(request: Request) -> None:
    """Remove what names the attachment; every step is attempted, an absent thing is success (docs/reference/cni.md 1.11).

    While the kernel takes the link down its masquerade goes; its address and its guard only when it is down: an address is
    nobody else's while a port of ours can send under it.
    """
    left = config.parse_leftovers(request)
    owner = AttachmentID.of(request)

    def shared() -> set[IPAddress] | None:
        """Return the addresses whose rules go alone, when another interface of the container stays."""
        return {*_recorded_addresses(request), *removal.addresses} if unwire.siblings(owner) else None

    removal = unwire.Removal(
        owner, request.netns, remember=left.may_masquerade, recorded=lambda: _recorded_ports(request)
    )
    with removal:
        steps: list[Callable[[], object]] = [removal.begin]
        if left.may_masquerade:
            steps.append(lambda: apply.forget_modern(owner))
            steps.append(lambda: apply.forget_legacy(owner, shared))
        steps.append(removal.finish)
        if left.ipam_type:
            steps.append(lambda: invoke.delegate(request, left.ipam_type, "DEL") if removal.finished else None)
        if left.mac_check:
            steps.append(lambda: _unguard(request, owner))
        steps.append(lambda: spoofchk.dismiss(owner, search=left.spoof_check) if removal.finished else None)
        _attempt_all(steps)


def collect(request: Request) -> None:
    """Remove what belongs to attachments the runtime no longer knows; without a list nothing is removed."""
    owners = AttachmentID.known_to(request)
    left = config.parse_leftovers(request)
    steps: list[Callable[[], object]] = []
    deleted: set[str] = set()

    def free_addresses() -> None:
        """Have no address freed while a port that ought to be gone can send under it."""
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
    """Tell whether an ADD could succeed now; CniError 50 says what is missing."""
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
    """Yield the plan that the earlier result stands for, that result, and the doors to the host and the container."""
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
    """Return the addresses ADD answered for this interface, as far as the runtime hands them back."""
    with suppress(CniError):
        if request.prev_result is not None:
            return {entry.address.ip for entry in _of_container(request.prev_result, request).ips}
    return set()


def _recorded_ports(request: Request) -> set[str]:
    """Return the links of the host ADD answered with, as far as the runtime hands them back."""
    with suppress(CniError):
        if request.prev_result is not None:
            return {entry.name for entry in request.prev_result.interfaces if entry.name and not entry.sandbox}
    return set()


def _unguard(request: Request, owner: AttachmentID) -> None:
    """Remove the rules against forged MACs; what stays of them guards nothing, so it is no reason to refuse DEL."""
    try:
        spoof_filter.forget(owner)
    except KernelError as refused:
        request.log(f"bridge: rules against forged MACs of {owner.alias} stay: {refused}")


def _of_container(earlier: Result, request: Request) -> Result:
    """Return `earlier` with only the addresses on this interface: chained programs may have added interfaces of theirs."""
    own = {
        index
        for index, entry in enumerate(earlier.interfaces)
        if (entry.name, entry.sandbox) == (request.ifname, request.netns)
    }
    return replace(earlier, ips=tuple(entry for entry in earlier.ips if entry.interface in own))


def _lease(settings: config.Settings, code: Code) -> lease_file.Lease | None:
    """Read the lease file if one is named; CniError `code` with path, cause and remedy when it cannot be read."""
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
    """Open one socket in the host's namespace and one in the container's; the process itself never moves."""
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
    """Ask IPAM; its answer is given back when a later step fails. Without IPAM the attachment has no addresses."""
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
