"""The verbs of `firewall`, each a short story told with config, plan, passages and check.

prevResult is handed on as it came. DEL and GC go by the attachment's name, so that no configuration, namespace or earlier
result is needed. Must not know rules.
"""

from __future__ import annotations

from contextlib import suppress

from cni import attachments
from cni.errors import CniError, Code
from cni.owner import Owner
from kernel.network import Network
from meta.firewall import check, config, passages, plan, trial

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.request import Request
    from cni.types import IPAddress, Result


def add(request: Request) -> Result:
    """Let the container's addresses through, keep its bridge apart, and hand prevResult on."""
    settings = config.parse(request)
    earlier = request.prev_result
    if earlier is None:
        raise CniError(
            Code.INVALID_CONFIG,
            "missing prevResult from earlier plugin",
            "list firewall behind the program that makes the interface, in a configuration with plugins",
        )
    wanted = plan.passage(settings, _owner(request), earlier)
    if wanted.addresses:
        with Network() as host:
            passages.separate(wanted, earlier, host)
        passages.grant(wanted, settings.backend)
    else:
        request.log(f"firewall: prevResult has no address, so nothing is let through for {request.ifname}")
    return earlier


def check_attachment(request: Request) -> None:
    """Compare the kernel with what the configuration asks for; CniError 102 names every missing rule."""
    settings = config.parse(request)
    earlier = request.prev_result
    if earlier is None:
        raise CniError(
            Code.INVALID_CONFIG,
            "missing prevResult from earlier plugin",
            "CHECK compares with the result of ADD: pass it as prevResult",
        )
    wanted = plan.passage(settings, _owner(request), earlier)
    if wanted.addresses:
        with Network() as host:
            check.check(wanted, passages.choose(settings.backend, wanted.families), earlier, host)


def delete(request: Request) -> None:
    """Remove the attachment's rules; what all share stays, as the reference leaves it."""
    passages.withdraw(_owner(request), config.left_in(request), _recorded_addresses(request))


def collect(request: Request) -> None:
    """Remove the rules of attachments the runtime no longer knows; without a list nothing is removed."""
    valid = attachments.valid(request.config)
    if valid is not None:
        passages.withdraw_strangers(request.name, [Owner(request.name, *attachment) for attachment in valid])


def status(request: Request) -> None:
    """Tell whether an ADD could succeed now; CniError 50 says what is missing."""
    settings = config.parse(request)
    trial.require(passages.choose(settings.backend, (4,)))


VERBS = {"ADD": add, "CHECK": check_attachment, "DEL": delete, "GC": collect, "STATUS": status}


def _owner(request: Request) -> Owner:
    return Owner(request.name, request.container_id, request.ifname)


def _recorded_addresses(request: Request) -> tuple[IPAddress, ...]:
    """Return the container's addresses, as far as the runtime hands them back."""
    with suppress(CniError):
        if request.prev_result is not None:
            return plan.addresses(request.prev_result)
    return ()
