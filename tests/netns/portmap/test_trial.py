"""Claims about meta.portmap.dry_run: rules like an ADD's are tried in each backend, and nothing of them stays.

What is missing ends STATUS: test_plugin.
"""

import pytest

from cni.errors import CniError
from kernel import netns
from meta.portmap import config, dry_run
from tests.netns.portmap.conftest import Runtime
from tests.unit.meta.portmap.asking import asked


def test_nothing_of_a_trial_stays(each: Runtime) -> None:
    with netns.inside(each.host.namespace):
        dry_run.require(config.parse(asked()), each.config["backend"])
    assert (each.containers_nat(), each.modern(), each.nat()) == ([], [], [])


def test_conditions_the_tool_does_not_know_are_found(runtime: Runtime) -> None:
    with netns.inside(runtime.host.namespace), pytest.raises(CniError, match="portmap needs iptables") as refused:
        dry_run.require(config.parse(asked(conditionsV4=["--no-such-option"])), "iptables")
    assert refused.value.code == 50
