"""The verbs of `tuning`.

ADD answers prevResult with the interface as it is now. DEL puts back what was saved, and always finishes.
"""

from __future__ import annotations

from contextlib import ExitStack

from cni import valid_attachments
from cni.errors import CniError
from kernel.errors import KernelError
from meta import namespace, prev_result
from meta.tuning import allowlist, backup, check, config, plan, wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.request import Request
    from cni.types import Result
    from kernel.netlink.handle import Handle, Link
    from meta.tuning.config import Settings

MISSING = "Required prevResult missing"


def add(request: Request) -> Result:
    """Change what is configured and return the changed prevResult. A refused ADD leaves everything as it was."""
    settings, before = _settings(request), prev_result.required(request, MISSING)
    allowlist.check(each.key for each in settings.sysctls)
    if settings.sysctls or settings.properties.any:
        with namespace.container(request) as container:
            _change(request, settings, container)
    return plan.answered(before, request.ifname, settings.properties)


def check_attachment(request: Request) -> None:
    """Compare the container with the configuration. Raises CniError 102 with the first difference."""
    settings = _settings(request)
    prev_result.required(request, MISSING)
    with namespace.container(request) as container:
        check.check(settings, _link(request, settings, container), container)


def delete(request: Request) -> None:
    """Put back what ADD found and delete the saved file. Of the configuration only `dataDir` is read.

    Without a namespace there is nothing to put back.
    """
    try:
        folder = config.data_dir(request.config)
    except CniError as refused:  # ADD refused it too, so nothing is saved there
        request.log(f"nothing to put back: {refused}")
        return
    file = backup.name(request.container_id, request.ifname)
    memory = backup.recall(folder, file)
    try:
        if memory:
            _restore(request, memory)
    finally:
        try:
            backup.forget(folder, file)
        except CniError as refused:  # the container is as before, and the next ADD of this name overwrites the file
            request.log(f"tuning: what is remembered stays: {refused}")


def collect(request: Request) -> None:
    """Delete the files of attachments of this network that the runtime does not list any more. Without a list none."""
    valid = valid_attachments.valid(request.config)
    if valid is not None:
        known = {backup.name(container_id, ifname) for container_id, ifname in valid}
        backup.forget_strangers(config.data_dir(request.config), request.name, known)


def status(request: Request) -> None:
    """Raise CniError unless an ADD would be accepted: the configuration is read and compared with the allow-list."""
    allowlist.check(each.key for each in _settings(request).sysctls)


VERBS = {"ADD": add, "CHECK": check_attachment, "DEL": delete, "GC": collect, "STATUS": status}


def _settings(request: Request) -> Settings:
    config.refuse_duplicates(request.stdin)
    return config.parse(request)


def _link(request: Request, settings: Settings, container: Handle) -> Link | None:
    """Return the interface; None if no property of it is configured.

    A chain for DPDK has no interface in the kernel.
    """
    return namespace.interface(container, request.ifname, request.netns) if settings.properties.any else None


def _change(request: Request, settings: Settings, container: Handle) -> None:
    """Save, then change. When a step fails, container and file are as they were before."""
    link = _link(request, settings, container)
    file = backup.name(request.container_id, request.ifname)
    first = backup.recall(settings.data_dir, file)
    if first and first.network not in ("", request.name):
        first = None
    before = wire.before(settings, link, container)
    with ExitStack() as undo:
        if first:
            undo.callback(backup.remember, settings.data_dir, file, first)
        else:
            undo.callback(backup.forget, settings.data_dir, file)
        try:
            backup.remember(settings.data_dir, file, plan.kept(request.name, before, first))
        except CniError as refused:
            if link:
                raise
            # parameters disappear with the namespace: the reference saves none of them
            request.log(f"tuning: DEL will not put the parameters back: {refused}")
            undo.pop_all()
        undo.callback(wire.restore, before, request.ifname, container)
        wire.change(settings, link, container)
        undo.pop_all()


def _restore(request: Request, memory: plan.Memory) -> None:
    try:
        with namespace.container(request) as container:
            wire.restore(memory, request.ifname, container)
    except (CniError, KernelError) as refused:
        request.log(f"nothing is put back: {refused}")
