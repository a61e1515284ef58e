"""The verbs of `firewall`.

prevResult is returned unchanged. DEL and GC find the rules by the attachment's name, so they need no configuration,
namespace or prevResult.
"""

from __future__ import annotations

from contextlib import ExitStack

from cni.attachment_id import AttachmentID
from kernel.netlink.handle import Handle
from meta import prev_result
from meta.firewall import check, config, dry_run, forward_rules, plan, zones

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.request import Request
    from cni.types import Result
    from meta.firewall.config import Settings
    from meta.firewall.plan import Passage
    from system.ip import IPAddress

MISSING = "missing prevResult from earlier plugin"


def add(request: Request) -> Result:
    """Let the container's packets through, separate its bridge as the policy says, and return prevResult."""
    settings = config.parse(request)
    before = prev_result.required(request, MISSING)
    wanted = plan.passage(settings, AttachmentID.of(request), before)
    if wanted.addresses:
        with Handle() as host:
            forward_rules.separate(wanted, before, host)
        _let_through(request, settings, wanted)
    else:
        request.log(f"firewall: prevResult has no address, so nothing is let through for {request.ifname}")
    return before


def check_attachment(request: Request) -> None:
    """Compare the kernel with the configuration. Raises CniError 102 that names every missing rule."""
    settings = config.parse(request)
    before = prev_result.required(request, MISSING)
    wanted = plan.passage(settings, AttachmentID.of(request), before)
    if wanted.addresses:
        with Handle() as host:
            in_zone, in_rules = _places(request, settings)
            backend = forward_rules.choose(_of_kernel(settings.backend), wanted.families) if in_rules else ""
            unbound = zones.missing(_bus(request), settings.zone, wanted.addresses) if in_zone else []
            check.check(wanted, backend, before, host, unbound)


def delete(request: Request) -> None:
    """Remove the attachment's rules. What attachments share stays, as with the reference."""
    backend, known = config.left_in(request), _recorded_addresses(request)
    in_zone = backend in ("", config.FIREWALLD)
    try:
        forward_rules.withdraw(AttachmentID.of(request), _of_kernel(backend), known)
    finally:
        if in_zone:
            zones.remove(_bus(request), config.zone_left_in(request), known)


def collect(request: Request) -> None:
    """Remove the rules of attachments that the runtime does not list any more. Without a list nothing is removed."""
    known = AttachmentID.known_to(request)
    if known is not None:
        forward_rules.withdraw_strangers(request.name, known)


def status(request: Request) -> None:
    """Raise CniError 50, with what is missing, unless an ADD could succeed now."""
    settings = config.parse(request)
    in_zone, in_rules = _places(request, settings)
    if in_zone:
        zones.require(_bus(request))
    if in_rules:
        dry_run.require(forward_rules.choose(_of_kernel(settings.backend), (4,)))


VERBS = {"ADD": add, "CHECK": check_attachment, "DEL": delete, "GC": collect, "STATUS": status}


def _places(request: Request, settings: Settings) -> tuple[bool, bool]:
    """Return whether firewalld lets the container through, and whether rules are needed instead or as well.

    Rules of the kernel enforce a policy with every backend (docs/reference/cni.md 4.2).
    """
    in_zone = settings.backend == config.FIREWALLD or (not settings.backend and zones.runs(_bus(request)))
    return in_zone, not in_zone or settings.policy != "open"


def _let_through(request: Request, settings: Settings, wanted: Passage) -> None:
    """Bind the addresses to the zone and add the rules. When one fails, nothing of this attachment stays."""
    in_zone, in_rules = _places(request, settings)
    with ExitStack() as undo:
        if in_zone:
            undo.callback(zones.remove, _bus(request), settings.zone, wanted.addresses)
            zones.add(_bus(request), settings.zone, wanted.addresses)
        if in_rules:
            forward_rules.grant(wanted, _of_kernel(settings.backend))
        undo.pop_all()


def _of_kernel(backend: str) -> str:
    """Return the backend that holds the rules; empty: the one that works."""
    return "" if backend == config.FIREWALLD else backend


def _bus(request: Request) -> str:
    return zones.bus_of(request.environ)


def _recorded_addresses(request: Request) -> tuple[IPAddress, ...]:
    """Return the container's addresses in prevResult, as far as the runtime passed it."""
    before = prev_result.handed_back(request)
    return plan.addresses(before) if before else ()
