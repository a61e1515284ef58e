"""Claims about meta.flannel.plan.

* The delegate's configuration is the contract's, byte for byte: one family, both, several networks, user routes, other delegates.
* What the delegate or ipam brings along wins over the lease's defaults, in any case; ranges and routes are always ours.
* runtimeConfig is forwarded; prevResult, dns, args and capabilities are not.
* CHECK adds the earlier result; GC drops what is about one attachment and says each configuration once.
* Whatever was saved is either a delegation with type and name, or CniError.
"""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cni import json_object as cni_config
from cni.errors import CniError
from cni.request import compose
from lease import file
from meta.flannel import config, plan

FOUR = "FLANNEL_NETWORK=10.1.0.0/16\nFLANNEL_SUBNET=10.1.17.1/24\n"
TWO_NETWORKS = "FLANNEL_NETWORK=10.1.0.0/16,192.168.0.0/16\nFLANNEL_SUBNET=10.1.17.1/24\n"
SIX = "FLANNEL_IPV6_NETWORK=fc00::/48\nFLANNEL_IPV6_SUBNET=fc00::1/64\n"
REST = "FLANNEL_MTU=1472\nFLANNEL_IPMASQ=true\n"


def rendered(text: str = FOUR + REST, /, **keys: Any) -> plan.Delegation:
    request = compose({}, json.dumps({"name": "cni-flannel", "type": "flannel", **keys}).encode(), lambda _: None)
    return plan.render(config.parse(request), file.parse(text))


@pytest.mark.parametrize(
    ("text", "keys", "expected"),
    [
        (
            FOUR + REST,
            {},
            '{"ipMasq":false,"ipam":{"ranges":[[{"subnet":"10.1.17.0/24"}]],"routes":[{"dst":"10.1.0.0/16"}],"type":"host-local"},"isGateway":true,"mtu":1472,"name":"cni-flannel","type":"bridge"}',
        ),
        (
            TWO_NETWORKS + REST,
            {"cniVersion": "0.3.1"},
            '{"cniVersion":"0.3.1","ipMasq":false,"ipam":{"ranges":[[{"subnet":"10.1.17.0/24"}]],"routes":[{"dst":"10.1.0.0/16"},{"dst":"192.168.0.0/16"}],"type":"host-local"},"isGateway":true,"mtu":1472,"name":"cni-flannel","type":"bridge"}',
        ),
        (
            SIX + REST,
            {},
            '{"ipMasq":false,"ipam":{"ranges":[[{"subnet":"fc00::/64"}]],"routes":[{"dst":"fc00::/48"}],"type":"host-local"},"isGateway":true,"mtu":1472,"name":"cni-flannel","type":"bridge"}',
        ),
        (
            FOUR + SIX + REST.replace("true", "false"),
            {},
            '{"ipMasq":true,"ipam":{"ranges":[[{"subnet":"10.1.17.0/24"}],[{"subnet":"fc00::/64"}]],"routes":[{"dst":"10.1.0.0/16"},{"dst":"fc00::/48"}],"type":"host-local"},"isGateway":true,"mtu":1472,"name":"cni-flannel","type":"bridge"}',
        ),
        (
            FOUR + REST,
            {"delegate": {"type": "macvlan", "master": "eth0", "ipMasq": True, "mtu": 1234}},
            '{"ipMasq":true,"ipam":{"ranges":[[{"subnet":"10.1.17.0/24"}]],"routes":[{"dst":"10.1.0.0/16"}],"type":"host-local"},"master":"eth0","mtu":1234,"name":"cni-flannel","type":"macvlan"}',
        ),
        (
            FOUR + REST,
            {
                "ipam": {
                    "type": "my-ipam",
                    "dataDir": "/x",
                    "more": [1],
                    "routes": [{"dst": "0.0.0.0/0", "mtu": 9, "x": 1}],
                }
            },
            '{"ipMasq":false,"ipam":{"dataDir":"/x","more":[1],"ranges":[[{"subnet":"10.1.17.0/24"}]],"routes":[{"dst":"0.0.0.0/0","mtu":9},{"dst":"10.1.0.0/16"}],"type":"my-ipam"},"isGateway":true,"mtu":1472,"name":"cni-flannel","type":"bridge"}',
        ),
    ],
    ids=["v4", "two networks", "v6", "dual stack", "another delegate", "another ipam"],
)
def test_the_delegates_configuration_is_the_contracts(text: str, keys: dict[str, Any], expected: str) -> None:
    assert rendered(text, **keys).document.decode() == expected


def test_what_the_delegate_writes_in_any_case_wins_over_the_lease() -> None:
    members = rendered(delegate={"IPMasq": True, "MTU": 9000, "isgateway": None, "hairpinMode": True}).members
    assert {key: members[key] for key in ("IPMasq", "MTU", "isgateway", "hairpinMode")} == {
        "IPMasq": True,
        "MTU": 9000,
        "isgateway": None,
        "hairpinMode": True,
    }
    assert not {"ipMasq", "mtu", "isGateway"} & set(members)


def test_ranges_and_routes_are_ours_in_any_case() -> None:
    members = rendered(ipam={"Ranges": [[{"subnet": "10.9.0.0/24"}]], "ROUTES": []}).members["ipam"]
    assert members == {
        "type": "host-local",
        "ranges": [[{"subnet": "10.1.17.0/24"}]],
        "routes": [{"dst": "10.1.0.0/16"}],
    }


def test_runtime_configuration_is_forwarded_and_nothing_else() -> None:
    delegation = rendered(
        runtimeConfig={"mac": "02:00:00:00:00:01"},
        prevResult={"cniVersion": "0.1.0"},
        dns={"nameservers": ["10.0.0.1"]},
        args={"cni": {}},
        capabilities={"mac": True},
    )
    members = json.loads(delegation.document)
    assert members["runtimeConfig"] == {"mac": "02:00:00:00:00:01"}
    assert not {"prevResult", "dns", "args", "capabilities"} & set(members)


def test_text_of_any_alphabet_stays_as_it_is() -> None:
    assert '"größe":"日本"' in rendered(delegate={"größe": "日本"}).document.decode()


def test_check_carries_the_earlier_result_and_the_version_of_the_request() -> None:
    asked = cni_config.JsonObject({"cniVersion": "1.0.0", "prevResult": {"ips": []}, "other": 1})
    members = plan.checking(rendered(cniVersion="0.4.0"), asked).members
    assert (members["prevResult"], members["cniVersion"], "other" in members) == ({"ips": []}, "1.0.0", False)


def test_gc_says_each_configuration_once_without_what_is_about_one_container() -> None:
    containers = [rendered(runtimeConfig={"ips": [f"10.1.17.{last}"]}) for last in (2, 3)]
    asked = cni_config.JsonObject({"cniVersion": "1.1.0", "cni.dev/valid-attachments": [], "cni.dev/attachments": None})
    (one,) = plan.collecting(containers, asked)
    assert "runtimeConfig" not in one.members
    assert (one.members["cni.dev/valid-attachments"], one.members["cni.dev/attachments"]) == ([], None)
    assert one.members["cniVersion"] == "1.1.0"


def test_what_was_rendered_can_be_read_again() -> None:
    delegation = rendered(FOUR + SIX + REST, delegate={"type": "macvlan"})
    assert plan.saved(delegation.document) == delegation


@given(st.binary() | st.dictionaries(st.text(), st.integers() | st.text()).map(lambda each: json.dumps(each).encode()))
def test_foreign_bytes_are_refused_or_have_type_and_name(content: bytes) -> None:
    try:
        delegation = plan.saved(content)
    except CniError:
        return
    assert delegation.type
    assert delegation.name
