"""Decides who gives out the addresses of this host's subnet: only one address book may.

CNI programs and Podman's network driver share the lease's book. Podman's netavark by itself, and Docker, have their
own, and two books would give the same address to two containers. `tulle init` and `tulle doctor` both use this.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from cli.inspect.address_owners import CNI, DOCKER, NETAVARK
from cli.inspect.detect import HostFacts

WHO = {CNI: "CNI programs (containerd, nerdctl, Podman with CNI)", NETAVARK: "Podman's netavark", DOCKER: "Docker"}
"""Books, by whom they belong to, for people."""

NOBODY_TYPES = "containerd"
"""A runtime that others use (Docker, nerdctl, a kubelet), so its presence alone says little."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Which runtimes are served. None are where a person must choose."""

    served: tuple[str, ...]
    left_out: tuple[str, ...] = ()
    said: str = ""  # the sentence about it


def of_runtime(runtime: str, machine: HostFacts) -> str:
    """Return the book from which a runtime takes addresses."""
    if runtime == "podman":
        return NETAVARK if machine.podman.backend == "netavark" and not machine.podman.driven else CNI
    return {"netavark": NETAVARK, "docker": DOCKER}.get(runtime, CNI)


def conflict(runtimes: Sequence[str], machine: HostFacts) -> str:
    """Return why these runtimes cannot all have addresses of the subnet, given the machine's files.

    Empty when they can.
    """
    groups = _groups(runtimes, machine)
    if len(groups) > 1:
        return f"{_cannot_share(groups)}. {_choose(groups)}"
    book = next(iter(groups), "")
    other = next((claim for claim in machine.claims if claim.book != book), None)
    if not book or other is None:
        return ""
    return (
        f"{' and '.join(runtimes)} cannot share this host's subnet with {WHO[other.book]}: {other.path} is there. "
        "Take that back first (tulle init --undo, or remove the file where it is not tulle's)"
    )


def choose(runtimes: Sequence[str], machine: HostFacts) -> Choice:
    """Choose among the installed runtimes: whoever has the subnet keeps it, and what is unambiguous is served."""
    groups = _groups(runtimes, machine)
    standing = list(dict.fromkeys(claim.book for claim in machine.claims))
    if len(groups) == 1 or (standing and standing[0] not in groups):
        return Choice(tuple(runtimes))
    chosen = standing[0] if standing else _evident(groups)
    if not chosen:
        return Choice((), tuple(runtimes), f"{_cannot_share(groups)}. {_choose(groups)}")
    left_out = tuple(one for book, each in groups.items() if book != chosen for one in each)
    instead = f"tulle init --undo && tulle init {' '.join(left_out)}"
    return Choice(
        tuple(groups[chosen]),
        left_out,
        f"{_cannot_share(groups)}: {' and '.join(left_out)} left out. To choose that instead: {instead}",
    )


def clashes(machine: HostFacts) -> Iterator[tuple[str, str]]:
    """Yield a path for every two books that both have the subnet on the machine."""
    first = next(iter(machine.claims), None)
    for claim in machine.claims:
        if first is not None and claim.book != first.book:
            yield first.path, claim.path


def _evident(groups: dict[str, list[str]]) -> str:
    """Return the only book that a person's commands use; empty when there are several or none."""
    typed = [book for book, runtimes in groups.items() if runtimes != [NOBODY_TYPES]]
    return typed[0] if len(typed) == 1 else ""


def _cannot_share(groups: dict[str, list[str]]) -> str:
    """Return the sentence about runtimes that have two books."""
    return f"{' and '.join(' or '.join(each) for each in groups.values())} cannot share this host's subnet"


def _choose(groups: dict[str, list[str]]) -> str:
    return "Choose: " + ", or ".join(f"tulle init {' '.join(each)}" for each in groups.values())


def _groups(runtimes: Iterable[str], machine: HostFacts) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for one in dict.fromkeys(runtimes):
        found.setdefault(of_runtime(one, machine), []).append(one)
    return found
