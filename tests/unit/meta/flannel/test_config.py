"""Claims about meta.flannel.config.

* Absent keys have the reference's defaults; paths are absolute.
* A delegate brings neither a name nor an ipam, and its type is a string; a refusal names the key and the way out.
* Where attachments are remembered is known whatever else is wrong.
"""

import json
from typing import Any

import pytest

from cni.errors import CniError
from cni.request import Request, compose
from meta.flannel import config


def asked(**keys: Any) -> Request:
    return compose({"CNI_COMMAND": "ADD"}, json.dumps({"name": "net", **keys}).encode(), lambda _: None)


def test_absent_keys_have_the_references_defaults() -> None:
    settings = config.parse(asked())
    assert (settings.subnet_file, settings.data_dir) == ("/run/flannel/subnet.env", "/var/lib/cni/flannel")
    assert (settings.version, settings.delegate, settings.ipam, settings.routes) == ("", {}, {}, ())
    assert settings.runtime_config is None


@pytest.mark.parametrize(
    ("keys", "complaint"),
    [
        ({"delegate": {"type": 1}}, '"delegate.type": got 1'),
        ({"delegate": {"type": None}}, '"delegate.type": got null'),
        ({"delegate": {"type": ""}}, '"delegate.type": got ""'),
        ({"delegate": {"name": "x"}}, '"delegate.name": got "x"'),
        ({"delegate": {"name": None}}, '"delegate.name"'),
        ({"delegate": {"ipam": {}}}, '"delegate.ipam": got an object'),
        ({"delegate": []}, '"delegate": got a list'),
        ({"ipam": []}, '"ipam"'),
        ({"ipam": {"routes": [{"dst": "x"}]}}, '"ipam.routes[0].dst"'),
        ({"runtimeConfig": 1}, '"runtimeConfig"'),
        ({"subnetFile": "here"}, '"subnetFile": got "here"'),
        ({"dataDir": "here"}, '"dataDir": got "here"'),
    ],
)
def test_a_value_nobody_can_use_is_refused_by_its_path(keys: dict[str, Any], complaint: str) -> None:
    with pytest.raises(CniError) as refusal:
        config.parse(asked(**keys))
    assert (refusal.value.code, complaint in refusal.value.msg, bool(refusal.value.remedy)) == (7, True, True)


def test_where_attachments_are_remembered_is_known_whatever_else_is_wrong() -> None:
    assert config.data_dir(asked(dataDir="/x", delegate=[], subnetFile=1)) == "/x"
    assert config.data_dir(asked(delegate={"name": "x"})) == config.DATA_DIR
