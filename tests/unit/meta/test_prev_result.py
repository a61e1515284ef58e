"""Claims about meta.prev_result: prevResult is handed out; without one the refusal is the reference's and the remedy the verb's; DEL goes on."""

import json

import pytest

from cni import request
from cni.errors import CniError
from cni.request import Request
from meta import prev_result


def asked(verb: str, **keys: object) -> Request:
    environ = {"CNI_COMMAND": verb, "CNI_CONTAINERID": "c1", "CNI_IFNAME": "eth0"}
    document = {"cniVersion": "1.0.0", "name": "net", "type": "tuning", **keys}
    return request.compose(environ, json.dumps(document).encode(), lambda _: None)


def test_an_earlier_result_is_handed_out() -> None:
    asking = asked("ADD", prevResult={"cniVersion": "1.0.0", "dns": {"domain": "x"}})
    assert prev_result.required(asking, "missing").dns.domain == "x"
    assert prev_result.handed_back(asking) == asking.prev_result


@pytest.mark.parametrize(
    ("verb", "remedy"), [("ADD", "list tuning behind the program"), ("CHECK", "pass it as prevResult")]
)
def test_a_missing_one_is_refused_with_the_remedy_of_the_verb(verb: str, remedy: str) -> None:
    with pytest.raises(CniError, match="so it is said") as refused:
        prev_result.required(asked(verb), "so it is said")
    assert (refused.value.code, refused.value.msg) == (7, "so it is said")
    assert remedy in refused.value.remedy


@pytest.mark.parametrize("result", [None, 1, {"ips": 1}])
def test_del_goes_on_without_one(result: object) -> None:
    assert prev_result.handed_back(asked("DEL", prevResult=result)) is None
