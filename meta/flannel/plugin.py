"""The verbs of `flannel`: ADD renders, remembers and delegates; the others go by what ADD remembered.

Only ADD and STATUS need the lease. What is remembered goes only when the delegate has succeeded, so that a repeated DEL
frees what the first could not. Must not know what a delegate does.
"""

from __future__ import annotations

from contextlib import ExitStack, suppress

from cni import invoke, valid_attachments
from cni.errors import CniError, Code
from lease import file as lease_file
from meta.flannel import config, plan, state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from cni.request import Request
    from cni.types import Result
    from lease.file import Lease
    from meta.flannel.config import Settings
    from meta.flannel.plan import Delegation
    from meta.flannel.state import Memory


def add(request: Request) -> Result:
    """Run the delegate on this host's share. A failed ADD stays remembered for the DEL that follows it.

    A second ADD of an attachment that is refused leaves the first one's memory as it was. Raises CniError 11 without a
    usable lease, 7 for the configuration, 5 for the disk, else what the delegate says.
    """
    settings = config.parse(request)
    delegation = plan.render(settings, _lease(settings, Code.TRY_AGAIN_LATER))
    invoke.find(delegation.type, request.path)  # a program that is not there made nothing that DEL could undo
    document = delegation.document
    request.log(document.decode())
    earlier = state.own(settings.data_dir, request.container_id, request.ifname)
    with ExitStack() as undo:
        state.remember(settings.data_dir, state.Memory(request.container_id, request.ifname, document))
        if earlier:
            undo.callback(state.remember, settings.data_dir, earlier)
        result = invoke.delegate(request, delegation.type, "ADD", stdin=document)
        undo.pop_all()
    return result


def check(request: Request) -> None:
    """Let the delegate check what ADD had it make. Raises CniError 102 for an attachment nobody remembers."""
    delegation = standing(request)
    invoke.delegate(request, delegation.type, "CHECK", stdin=delegation.document)


def standing(request: Request) -> Delegation:
    """Return the delegate of a standing attachment and what it is told at CHECK. Raises CniError 102 where nobody remembers it."""
    folder = config.data_dir(request)
    memory = state.recall(folder, request.container_id, request.ifname)
    delegation = _own_delegation(request, folder, memory) if memory else None
    if delegation is None:
        raise CniError(
            Code.CHECK_FAILED,
            f"{folder} remembers nothing of {request.ifname} of container {request.container_id}",
            "remove the container's network and add it again",
        )
    return plan.checking(delegation, request.config)


def delete(request: Request) -> None:
    """Let the delegate take back what ADD had it make, byte for byte the same; nothing remembered is success."""
    folder = config.data_dir(request)
    memory = state.recall(folder, request.container_id, request.ifname)
    if memory is None:  # an ADD killed while it wrote, before anything was made, may still have left its draft
        state.forget(folder, state.Memory(request.container_id, request.ifname, b""))
        return
    delegation = _own_delegation(request, folder, memory)
    if delegation:
        invoke.delegate(request, delegation.type, "DEL", stdin=memory.content)
        try:
            state.forget(folder, memory)
        except CniError as refused:  # nothing is left that it speaks of
            request.log(f"flannel: what is remembered stays: {refused}")


def status(request: Request) -> None:
    """Tell whether an ADD could succeed now: CniError 50 without a usable lease, else the delegate's word."""
    settings = config.parse(request)
    delegation = plan.render(settings, _lease(settings, Code.NOT_AVAILABLE))
    invoke.delegate(request, delegation.type, "STATUS", stdin=delegation.document)


def collect(request: Request) -> None:
    """Hand GC on once for every configuration in use, then forget attachments the runtime no longer knows.

    Nothing is forgotten when a delegate failed, or without a list of attachments.
    """
    folder, valid = config.data_dir(request), valid_attachments.valid(request.config)
    remembered = tuple(_of_network(request, folder))
    current = [delegation for _, delegation in remembered] + _rendered_if_possible(request)
    _collect_each(request, plan.collecting(current, request.config))
    if valid is not None:
        for memory, _ in remembered:
            if not _is_known(memory, valid):
                state.forget(folder, memory)


VERBS = {"ADD": add, "CHECK": check, "DEL": delete, "GC": collect, "STATUS": status}


def _lease(settings: Settings, code: Code) -> Lease:
    """Read the lease file; CniError `code` when it cannot be gone by, in the reference's words for missing keys."""
    try:
        return lease_file.read(settings.subnet_file)
    except lease_file.Unavailable as reason:
        what = f"lease file {reason.path}: {reason.reason}"
        if reason.missing:
            what = f"{reason.path} is missing {', '.join(reason.missing)}"
        raise CniError(code, what, reason.remedy) from reason


def _own_delegation(request: Request, folder: str, memory: Memory) -> Delegation | None:
    """Return what `memory` says if it is about this network; what cannot be read is logged and left alone."""
    try:
        delegation = plan.saved(memory.content)
    except CniError as wrong:
        request.log(f"flannel: ignoring {folder}/{memory.container_id}: {wrong}")
        return None
    return delegation if delegation.name == request.name else None


def _of_network(request: Request, folder: str) -> Iterator[tuple[Memory, Delegation]]:
    for memory in state.memories(folder):
        delegation = _own_delegation(request, folder, memory)
        if delegation:
            yield memory, delegation


def _rendered_if_possible(request: Request) -> list[Delegation]:
    """Return what an ADD would say now: claims may outlive every memory of them."""
    with suppress(CniError):
        settings = config.parse(request)
        return [plan.render(settings, _lease(settings, Code.NOT_AVAILABLE))]
    return []


def _collect_each(request: Request, delegations: tuple[Delegation, ...]) -> None:
    """Try every delegation and raise all failures together."""
    failures: list[CniError] = []
    for delegation in delegations:
        try:
            invoke.delegate(request, delegation.type, "GC", stdin=delegation.document)
        except CniError as failure:
            failures.append(failure)
    if failures:
        raise ExceptionGroup(f"GC of network {request.name}", failures)


def _is_known(memory: Memory, valid: frozenset[valid_attachments.Attachment]) -> bool:
    """Tell whether the runtime still knows the attachment; a file of the reference stands for all of its container's."""
    if memory.ifname:
        return (memory.container_id, memory.ifname) in valid
    return any(container_id == memory.container_id for container_id, _ in valid)
