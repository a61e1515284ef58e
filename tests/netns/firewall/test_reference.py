"""Claims beside the reference's own firewall: after the same ADD, and after DEL, the rules of both are the same (docs/reference/cni.md 4.2).

* iptables: rule by rule, in the same order, for every policy, in both families; but for the chain that says whose the addresses are, which
  no packet passes, and the one rule that lets published ports pass.
* What the reference added before ours is found: ours adds only its own, and DEL takes the reference's rules too.
* What ours let through, the reference's CHECK finds and its DEL closes again.
"""

import json
from typing import Any

import pytest

from kernel import spawn
from tests.lab.reference import program
from tests.netns.firewall.conftest import Container, Runtime

POLICIES = ("open", "same-bridge", "isolated")
OURS_ONLY = ("published ports pass", "CNI-FORWARD-OWNERS")


def reference(runtime: Runtime, verb: str, container: Container, **keys: Any) -> None:
    """Serve the request with the reference's program; the directory of tools has to be in its PATH."""
    names = {"CNI_CONTAINERID": container.name, "CNI_NETNS": container.space.path, "CNI_IFNAME": "eth0"}
    environ = {"CNI_COMMAND": verb, **names, "CNI_PATH": "/none", "PATH": ":".join(spawn.PLACES)}
    environ["DBUS_SYSTEM_BUS_ADDRESS"] = "unix:path=/none"
    variables = [f"{name}={value}" for name, value in environ.items()]
    document = json.dumps({**runtime.config, "type": "firewall", "prevResult": container.result, **keys})
    done = spawn.run(["env", *variables, str(program("firewall"))], document, runtime.host.namespace)
    assert done.code == 0, done


def ours(runtime: Runtime, verb: str, container: Container, **keys: Any) -> None:
    answer = runtime.call(verb, container, **keys)
    assert "code" not in answer, answer


def dump(runtime: Runtime) -> list[str]:
    """Everything that stands, without what ours has on purpose."""
    lines = [*runtime.legacy(4), *runtime.legacy(6)]
    return [line for line in lines if not any(words in line for words in OURS_ONLY)]


@pytest.mark.parametrize("policies", [(first, second) for first in POLICIES for second in POLICIES], ids="+".join)
def test_iptables_has_the_references_rules(runtime: Runtime, policies: tuple[str, str]) -> None:
    program("firewall")
    runtime.config["backend"] = "iptables"
    containers = (runtime.container(5, "br1"), runtime.container(6, "br2"))
    shown = []
    for serve in (reference, ours):
        for verb in ("ADD", "ADD", "DEL"):
            for container, policy in zip(containers, policies, strict=True):
                serve(runtime, verb, container, ingressPolicy=policy, iptablesAdminChainName="MINE")
            shown.append(dump(runtime))
        runtime.host.run("nft", "flush", "ruleset")
    assert shown[3:] == shown[:3]
    assert len(shown[0]) > len(shown[2]) > 0


def test_ours_takes_over_from_the_reference(runtime: Runtime) -> None:
    program("firewall")
    runtime.config["backend"] = "iptables"
    container = runtime.container()
    reference(runtime, "ADD", container, ingressPolicy="isolated")
    ours(runtime, "ADD", container, ingressPolicy="isolated")
    assert runtime.call("CHECK", container, ingressPolicy="isolated") == {}
    ours(runtime, "DEL", container)
    assert runtime.left() == []


@pytest.mark.parametrize("policy", POLICIES)
def test_the_reference_takes_over_from_ours(runtime: Runtime, policy: str) -> None:
    program("firewall")
    runtime.config["backend"] = "iptables"
    container = runtime.container()
    ours(runtime, "ADD", container, ingressPolicy=policy)
    reference(runtime, "CHECK", container, ingressPolicy=policy)
    reference(runtime, "DEL", container, ingressPolicy=policy)
    assert [line for line in runtime.left() if line.endswith("-j ACCEPT")] == []
    ours(runtime, "DEL", container, ingressPolicy=policy)
    assert runtime.left() == []
