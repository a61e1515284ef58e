"""The verbs of `flannel`: ADD makes the delegate's configuration, saves it and runs the delegate.

The other verbs use the saved one; only ADD and STATUS need the lease. It is deleted after the delegate has succeeded,
so that a second DEL can remove what the first could not.
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
    """Run the delegate with this host's lease.

    After a failed ADD the saved configuration stays, for the DEL that follows.

    If a second ADD of the same attachment is refused, the first one's saved configuration stays as it is. Raises
    CniError 11 without a usable lease, 7 for the configuration, 5 for the disk, and the delegate's errors.
    """
    settings = config.parse(request)
    delegation = plan.render(settings, _lease(settings, Code.TRY_AGAIN_LATER))
    invoke.find(
        delegation.type, request.path
    )  # before anything is saved: without the program there is nothing for DEL to undo
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
    """Run the delegate's CHECK with the saved configuration. Raises CniError 102 when none is saved."""
    delegation = standing(request)
    invoke.delegate(request, delegation.type, "CHECK", stdin=delegation.document)


def standing(request: Request) -> Delegation:
    """Return the delegate of an existing attachment and its configuration for CHECK.

    Raises CniError 102 if none is saved.
    """
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
    """Run the delegate's DEL with exactly the saved configuration. If none is saved, that is success."""
    folder = config.data_dir(request)
    memory = state.recall(folder, request.container_id, request.ifname)
    if memory is None:  # an ADD that was killed while it saved may have left a temporary file
        state.forget(folder, state.Memory(request.container_id, request.ifname, b""))
        return
    delegation = _own_delegation(request, folder, memory)
    if delegation:
        invoke.delegate(request, delegation.type, "DEL", stdin=memory.content)
        try:
            state.forget(folder, memory)
        except CniError as refused:  # the delegate has nothing of it left
            request.log(f"flannel: what is remembered stays: {refused}")


def status(request: Request) -> None:
    """Raise CniError 50 without a usable lease, else what the delegate's STATUS raises."""
    settings = config.parse(request)
    delegation = plan.render(settings, _lease(settings, Code.NOT_AVAILABLE))
    invoke.delegate(request, delegation.type, "STATUS", stdin=delegation.document)


def collect(request: Request) -> None:
    """Run the delegate's GC once per configuration, then delete what is saved of attachments not listed any more.

    When a delegate fails, or without a list, nothing saved is deleted.
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
    """Return the lease. Raises CniError `code` when it cannot be used, for missing keys with the reference's text."""
    try:
        return lease_file.read(settings.subnet_file)
    except lease_file.Unavailable as reason:
        what = f"lease file {reason.path}: {reason.reason}"
        if reason.missing:
            what = f"{reason.path} is missing {', '.join(reason.missing)}"
        raise CniError(code, what, reason.remedy) from reason


def _own_delegation(request: Request, folder: str, memory: Memory) -> Delegation | None:
    """Return the saved configuration if it is of this network. A file that cannot be read is logged and kept."""
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
    """Return what an ADD would save now: addresses may be reserved although nothing is saved any more."""
    with suppress(CniError):
        settings = config.parse(request)
        return [plan.render(settings, _lease(settings, Code.NOT_AVAILABLE))]
    return []


def _collect_each(request: Request, delegations: tuple[Delegation, ...]) -> None:
    """Run GC with every configuration and raise all failures together."""
    failures: list[CniError] = []
    for delegation in delegations:
        try:
            invoke.delegate(request, delegation.type, "GC", stdin=delegation.document)
        except CniError as failure:
            failures.append(failure)
    if failures:
        raise ExceptionGroup(f"GC of network {request.name}", failures)


def _is_known(memory: Memory, valid: frozenset[valid_attachments.Attachment]) -> bool:
    """Return whether the runtime still lists the attachment.

    A file of the reference stands for all of its container's.
    """
    if memory.ifname:
        return (memory.container_id, memory.ifname) in valid
    return any(container_id == memory.container_id for container_id, _ in valid)
