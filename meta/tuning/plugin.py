"""The verbs of `tuning`, each a short story told with config, plan, backup, wire and check.

ADD answers prevResult as the interface is now. DEL goes by what is remembered, and always finishes. Must not know netlink.
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
    """Change what is configured and hand prevResult on as it then is; a refused ADD leaves everything as it was."""
    settings, before = _settings(request), prev_result.required(request, MISSING)
    allowlist.check(each.key for each in settings.sysctls)
    if settings.sysctls or settings.properties.any:
        with namespace.container(request) as container:
            _change(request, settings, container)
    return plan.answered(before, request.ifname, settings.properties)


def check_attachment(request: Request) -> None:
    """Compare the container with the configuration; CniError 102 names the first difference."""
    settings = _settings(request)
    prev_result.required(request, MISSING)
    with namespace.container(request) as container:
        check.check(settings, _link(request, settings, container), container)


def delete(request: Request) -> None:
    """Put back what ADD found and forget it. Of the configuration only `dataDir` is asked, and without a namespace it is gone."""
    try:
        folder = config.data_dir(request.config)
    except CniError as refused:  # ADD refused it too, so nothing can be remembered there
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
        except CniError as refused:  # the container is as it was, and the next ADD of this name writes over it
            request.log(f"tuning: what is remembered stays: {refused}")


def collect(request: Request) -> None:
    """Forget attachments of this network that the runtime no longer knows; without a list nothing is forgotten."""
    valid = valid_attachments.valid(request.config)
    if valid is not None:
        known = {backup.name(container_id, ifname) for container_id, ifname in valid}
        backup.forget_strangers(config.data_dir(request.config), request.name, known)


def status(request: Request) -> None:
    """Tell whether an ADD would be let through: the configuration is read and held against the allow-list."""
    allowlist.check(each.key for each in _settings(request).sysctls)


VERBS = {"ADD": add, "CHECK": check_attachment, "DEL": delete, "GC": collect, "STATUS": status}


def _settings(request: Request) -> Settings:
    config.refuse_duplicates(request.stdin)
    return config.parse(request)


def _link(request: Request, settings: Settings, container: Handle) -> Link | None:
    """Return the interface; None where nothing of it is spoken of, for a chain may have none that the kernel knows (DPDK)."""
    return namespace.interface(container, request.ifname, request.netns) if settings.properties.any else None


def _change(request: Request, settings: Settings, container: Handle) -> None:
    """Remember, then change; whatever fails, the container and the memory are as they were before."""
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
            # parameters go with the namespace: the reference remembers none of them
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
