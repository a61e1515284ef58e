"""Claims: the program bridge answers every damaged request with one error or one result, never code 999, and leaves nothing.

It runs in a namespace of the test's own, since DEL and GC look for leftovers in the kernel.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from bridge.program import PROGRAM
from kernel import netns
from tests.netns.spaces import Space
from tests.vectors.fuzzing import confined, judge, requests, serve

EXAMPLES = 300


def test_every_answer_is_one_error_or_one_result(make_space: Callable[[str], Space]) -> None:
    space = make_space("host")
    before = {link.name for link in space.network.links()}

    @given(requests(PROGRAM))
    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    def answered(asked: tuple[dict[str, str], bytes]) -> None:
        with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as places:
            confined(places, Path(name))
            environ, stdin = asked
            with netns.inside(space.namespace):
                told = serve(PROGRAM, environ, stdin, Path(name))
            judge(told, environ, Path(name))

    answered()
    assert {link.name for link in space.network.links()} == before
