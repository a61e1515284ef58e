"""Claims about who may ask:

- only who stands exactly where the agent stands, with both capabilities
- each difference has its reason, the user namespace first, because in another one no capability means anything
- a CNI_NETNS that means something else in another process is refused, whatever leads there
"""

from dataclasses import replace

import pytest

from agent import admission
from agent.admission import RIGHTS, Root, Spaces
from agent.protocol import Reason

OWN = Spaces(mnt=(4, 1), user=(4, 2), pid=(4, 3))
ROOT = Root(directory=(8, 2), mount=21)


def test_who_stands_where_we_stand_may_ask() -> None:
    assert admission.refusal(OWN, OWN, RIGHTS) is None
    assert admission.misrooted(ROOT, ROOT) is None


@pytest.mark.parametrize(
    ("elsewhere", "reason"),
    [
        (replace(OWN, mnt=(4, 7)), Reason.MOUNTS),
        (replace(OWN, user=(4, 7)), Reason.USERS),
        (Spaces(user=(4, 7), mnt=(4, 8), pid=(4, 9)), Reason.USERS),
        (replace(OWN, pid=(4, 7)), Reason.PROCESSES),
    ],
)
def test_who_stands_elsewhere_may_not(elsewhere: Spaces, reason: Reason) -> None:
    assert admission.refusal(OWN, elsewhere, RIGHTS) is reason


@pytest.mark.parametrize("root", [replace(ROOT, directory=(8, 3)), replace(ROOT, mount=22)])
def test_who_has_another_root_may_not(root: Root) -> None:
    assert admission.misrooted(ROOT, root) is Reason.ROOT


@pytest.mark.parametrize("capability", [admission.CAP_NET_ADMIN, admission.CAP_SYS_ADMIN])
def test_every_capability_but_one_is_not_enough(capability: int) -> None:
    assert admission.refusal(OWN, OWN, (1 << 41) - 1 & ~(1 << capability)) is Reason.RIGHTS


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
