"""Claims about who gives out this host's addresses, the same for tulle init and tulle doctor:

- runtimes of one book are served together; Podman's driver is of the CNI programs' book
- of several books, the one that has the subnet already is served; else the one whose commands people type; else the choice is said
- runtimes named together that keep two books are refused, and so is one beside another's file
- two books that both stand on a machine are told, whoever wrote the files
"""

from dataclasses import replace

import pytest

from cli.inspect.address_owners import CNI, DOCKER, NETAVARK, Claim
from cli.inspect.detect import HostFacts, Podman
from cli.setup import address_books

BOTH = HostFacts(frozenset({"podman", "containerd", "nerdctl"}), Podman("netavark"))
CONFLIST = Claim("/etc/cni/net.d/10-tulle.conflist", CNI)
NETWORK = Claim("/etc/containers/networks/tulle.json", NETAVARK)


@pytest.mark.parametrize(
    ("runtime", "podman", "book"),
    [
        ("podman", Podman("netavark"), NETAVARK),
        ("podman", Podman("netavark", driven=True), CNI),
        ("podman", Podman("cni"), CNI),
        ("netavark", Podman("cni"), NETAVARK),
        ("containerd", Podman("netavark"), CNI),
        ("nerdctl", Podman("netavark"), CNI),
        ("docker", Podman("netavark"), DOCKER),
    ],
)
def test_each_runtime_has_its_book(runtime: str, podman: Podman, book: str) -> None:
    assert address_books.of_runtime(runtime, replace(BOTH, podman=podman)) == book


@pytest.mark.parametrize(
    ("installed", "there", "served"),
    [
        (("containerd", "nerdctl"), (), ("containerd", "nerdctl")),
        (("podman",), (), ("podman",)),
        (("podman", "containerd"), (), ("podman",)),
        (("podman", "containerd", "nerdctl"), (), ()),
        (("podman", "containerd", "nerdctl"), (CONFLIST,), ("containerd", "nerdctl")),
        (("podman", "containerd"), (CONFLIST,), ("containerd",)),
        (("podman", "containerd", "nerdctl"), (NETWORK,), ("podman",)),
    ],
)
def test_what_is_unambiguous_is_served(
    installed: tuple[str, ...], there: tuple[Claim, ...], served: tuple[str, ...]
) -> None:
    choice = address_books.choose(installed, replace(BOTH, claims=there))
    assert choice.served == served
    assert set(choice.left_out) == set(installed) - set(served)
    assert bool(choice.said) == bool(choice.left_out)


def test_what_to_choose_is_one_line() -> None:
    said = address_books.choose(("podman", "containerd", "nerdctl"), BOTH).said
    assert said == (
        "podman and containerd or nerdctl cannot share this host's subnet. Choose: tulle init podman, or tulle init containerd nerdctl"
    )


def test_runtimes_named_together_are_refused_where_they_keep_two_books() -> None:
    assert address_books.conflict(("podman", "containerd"), BOTH).endswith(
        "Choose: tulle init podman, or tulle init containerd"
    )
    assert address_books.conflict(("containerd", "nerdctl"), BOTH) == ""
    assert NETWORK.path in address_books.conflict(("containerd",), replace(BOTH, claims=(NETWORK,)))
    assert address_books.conflict(("podman",), replace(BOTH, claims=(NETWORK,))) == ""


def test_two_books_on_one_machine_are_told() -> None:
    assert list(address_books.clashes(replace(BOTH, claims=(CONFLIST, NETWORK)))) == [(CONFLIST.path, NETWORK.path)]
    assert list(address_books.clashes(replace(BOTH, claims=(CONFLIST, replace(CONFLIST, path="/other"))))) == []
