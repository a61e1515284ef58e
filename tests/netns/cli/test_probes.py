"""Claims about asking other hosts: an echo and TCP's refusal are answers, silence is none, a packet is never cut in two."""

from collections.abc import Callable
from ipaddress import IPv4Address

import pytest

from cli import probes
from kernel import namespaces
from kernel.requests import SetLink
from tests.netns.spaces import Space, cable

HERE, THERE, NOBODY = (IPv4Address(f"192.0.2.{number}") for number in (1, 2, 3))
SHORT = 0.4
"""Seconds that are enough between two namespaces."""


@pytest.fixture
def near(make_space: Callable[[str], Space]) -> Space:
    one, two = make_space("one"), make_space("two")
    cable(one, f"eth0={HERE}/24", two, f"eth0={THERE}/24")
    two.network.apply(SetLink("eth0", mtu=1400))
    return one


def test_who_is_there_answers_an_echo_and_who_is_not_is_silent(near: Space) -> None:
    with namespaces.inside(near.namespace):
        heard = probes.echo({THERE: 84, NOBODY: 84}, SHORT)
    assert list(heard) == [THERE]
    assert 0 < heard[THERE] < SHORT


def test_a_packet_that_does_not_fit_is_lost_not_cut(near: Space) -> None:
    with namespaces.inside(near.namespace):
        assert THERE not in probes.echo({THERE: 1501}, SHORT)


def test_a_packet_that_just_fits_arrives(near: Space) -> None:
    with namespaces.inside(near.namespace):
        assert THERE in probes.echo({THERE: 1400}, SHORT)


def test_a_refused_connection_is_an_answer(near: Space) -> None:
    with namespaces.inside(near.namespace):
        assert probes.tcp({THERE, NOBODY}, SHORT) == {THERE}


def test_nobody_asked_is_nobody_waited_for(near: Space) -> None:
    with namespaces.inside(near.namespace):
        assert (probes.echo({}), probes.tcp(())) == ({}, frozenset())


def test_a_port_nobody_listens_on_is_told_apart_from_a_host_that_is_away(near: Space) -> None:
    with namespaces.inside(near.namespace):
        assert probes.refusing({THERE, NOBODY}, 8472, SHORT) == {THERE}
