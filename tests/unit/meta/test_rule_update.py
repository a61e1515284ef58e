"""Claims about meta.rule_update: a step is repeated when somebody came between, not otherwise and not for ever; what is removed is
removed from everywhere asked for, whatever one of the steps meets.
"""

import errno

import pytest

from kernel.errors import KernelError
from meta import rule_update


class Step:
    """Refuses with these numbers, then succeeds."""

    def __init__(self, *refusals: int) -> None:
        self.left = list(refusals)
        self.taken = 0

    def __call__(self) -> None:
        self.taken += 1
        if self.left:
            raise KernelError(self.left.pop(0), "writing rules")


@pytest.mark.parametrize("number", [errno.ENOENT, errno.EEXIST, errno.EIO, errno.EBUSY])
def test_a_step_that_was_overtaken_is_taken_again(number: int) -> None:
    step = Step(number, number)
    rule_update.repeat(step)
    assert step.taken == 3


def test_any_other_refusal_is_final() -> None:
    step = Step(errno.EPERM)
    with pytest.raises(KernelError):
        rule_update.repeat(step)
    assert step.taken == 1


def test_a_step_is_not_repeated_for_ever() -> None:
    step = Step(*[errno.EEXIST] * 100)
    with pytest.raises(KernelError):
        rule_update.repeat(step)
    assert step.taken == 5


@pytest.mark.parametrize(("backend", "places"), [("", [4, 6, "nft"]), ("iptables", [4, 6]), ("nftables", ["nft"])])
def test_every_place_is_visited(backend: str, places: list[object]) -> None:
    visited: list[object] = []
    rule_update.remove(backend, visited.append, lambda: visited.append("nft"))
    assert visited == places


def test_a_refusal_keeps_nothing_else_from_being_removed() -> None:
    visited: list[object] = []

    def refused(family: int) -> None:
        visited.append(family)
        raise KernelError(errno.EPERM, "writing rules")

    with pytest.raises(ExceptionGroup) as failures:
        rule_update.remove("", refused, lambda: visited.append("nft"))
    assert (visited, len(failures.value.exceptions)) == ([4, 6, "nft"], 2)
