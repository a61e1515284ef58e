"""Claims about who may ask:

- only who stands exactly where the agent stands, with both capabilities
- each difference has its reason, the user namespace first, because in another one no capability means anything
- the caller's descriptors must be what the kernel says of the caller
- a CNI_NETNS that means something else in another process is refused, whatever leads there
"""

from dataclasses import replace

import pytest

from agent import admission
from agent.admission import RIGHTS, Claims, Peer, Place
from agent.protocol import Reason

OWN = Place(mnt=(4, 1), user=(4, 2), pid=(4, 3), root=(8, 2), mount=21)
PEER = Peer(place=OWN, net=(4, 9), capabilities=RIGHTS)
CLAIMS = Claims(mnt=OWN.mnt, user=OWN.user, pid=OWN.pid, root=OWN.root, net=PEER.net)


def test_who_stands_where_we_stand_may_ask() -> None:
    assert admission.refusal(OWN, PEER, CLAIMS) is None


def test_the_network_namespace_may_be_any() -> None:
    assert admission.refusal(OWN, replace(PEER, net=(4, 10)), replace(CLAIMS, net=(4, 10))) is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"mnt": (4, 7)}, Reason.MOUNTS),
        ({"user": (4, 7)}, Reason.USERS),
        ({"user": (4, 7), "mnt": (4, 8), "pid": (4, 9)}, Reason.USERS),
        ({"pid": (4, 7)}, Reason.PROCESSES),
        ({"root": (8, 3)}, Reason.ROOT),
        ({"mount": 22}, Reason.ROOT),
    ],
)
def test_who_stands_elsewhere_may_not(change: dict[str, object], reason: Reason) -> None:
    elsewhere = replace(PEER, place=replace(OWN, **change))  # type: ignore[arg-type]
    assert admission.refusal(OWN, elsewhere, CLAIMS) is reason


@pytest.mark.parametrize("name", ["mnt", "user", "pid", "root", "net"])
def test_every_descriptor_must_be_the_callers(name: str) -> None:
    assert admission.refusal(OWN, PEER, replace(CLAIMS, **{name: (4, 99)})) is Reason.CLAIMS


@pytest.mark.parametrize("capability", [admission.CAP_NET_ADMIN, admission.CAP_SYS_ADMIN])
def test_every_capability_but_one_is_not_enough(capability: int) -> None:
    fewer = replace(PEER, capabilities=(1 << 41) - 1 & ~(1 << capability))
    assert admission.refusal(OWN, fewer, CLAIMS) is Reason.RIGHTS


@pytest.mark.parametrize(
    ("path", "resolved", "reason"),
    [
        ("", "", None),
        ("/var/run/netns/a", "/run/netns/a", None),
        ("/proc/12/ns/net", "/proc/12/ns/net", None),
        ("/proc/123/ns/net", "/proc/123/ns/net", None),
        ("run/netns/a", "/run/netns/a", Reason.RELATIVE),
        ("/proc/self/ns/net", "/proc/1/ns/net", Reason.OWN),
        ("/proc/thread-self/ns/net", "/x", Reason.OWN),
        ("/dev/fd/3", "/proc/1/fd/3", Reason.OWN),
    ],
)
def test_a_path_must_mean_the_same_here(path: str, resolved: str, reason: Reason | None) -> None:
    assert admission.misplaced(path, resolved, "/proc/1") is reason
