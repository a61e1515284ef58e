"""Claims about the wishes `tuning` reads (docs/reference/cni.md 4.4, 1.9).

* args.cni overrides each key, and `sysctl` a parameter at a time, also without a `sysctl` of the configuration's own.
* A MAC comes from `mac`, CNI_ARGS, runtimeConfig and args.cni, the last one given wins.
* Keys are confined to net, whatever their spelling; IFNAME stands for the interface, dots in its name included.
* Duplicates are refused in the text and in two spellings.
"""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cni.errors import CniError
from kernel import sysctl
from meta.tuning.config import DATA_DIR, NOTHING, Properties, Settings, parse, refuse_duplicates
from tests.unit.meta.tuning.asking import asked

ONE, TWO, THREE, FOUR = (f"02:00:00:00:00:0{number}" for number in range(1, 5))


def paths(**keys: Any) -> dict[str, str]:
    return {each.path: each.value for each in parse(asked(**keys)).sysctls}


def test_nothing_is_wished_by_default() -> None:
    settings = parse(asked())
    assert settings == Settings((), NOTHING, DATA_DIR)
    assert not settings.properties.any


def test_args_override_each_key() -> None:
    own: dict[str, Any] = {"mtu": 1400, "promisc": True, "allmulti": True, "txQLen": 5}
    assert parse(asked(**own)).properties == Properties("", 1400, promisc=True, all_multicast=True, queue=5)
    wishes = {"cni": {"mtu": 0, "promisc": False, "allmulti": False, "txqlen": 0}}
    assert parse(asked(**own, args=wishes)).properties == Properties("", 0, promisc=False, all_multicast=False, queue=0)


def test_args_merge_parameters_with_and_without_own_ones() -> None:
    wishes = {"cni": {"sysctl": {"net/core/b": "3", "net.core.c": "4"}}}
    assert paths(args=wishes) == {"net/core/b": "3", "net/core/c": "4"}
    merged = paths(sysctl={"net.core.a": "1", "net.core.b": "2"}, args=wishes)
    assert merged == {"net/core/a": "1", "net/core/b": "3", "net/core/c": "4"}


def test_the_last_source_of_a_mac_wins() -> None:
    sources: list[dict[str, Any]] = [{"mac": ONE}, {"arguments": f"MAC={TWO}"}, {"runtimeConfig": {"mac": THREE}}]
    sources.append({"args": {"cni": {"mac": FOUR.replace(":", "-")}}})
    keys: dict[str, Any] = {}
    for source, mac in zip(sources, (ONE, TWO, THREE, FOUR), strict=True):
        keys |= source
        assert parse(asked(**keys)).properties.mac == mac


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("net.ipv4.x", "net/ipv4/x"),
        ("/net//ipv4/./x/", "net/ipv4/x"),
        ("net.ipv4.conf.IFNAME.x", "net/ipv4/conf/eth0.5/x"),
        ("net/IFNAME/IFNAME", "net/eth0.5/IFNAME"),
    ],
)
def test_a_key_means_a_path(key: str, path: str) -> None:
    request = replace(asked(sysctl={key: "1"}), ifname="eth0.5")
    assert [(each.key, each.path) for each in parse(request).sysctls] == [(key, path)]


@pytest.mark.parametrize(
    "key", ["", "net", "net.", "kernel.x", "nets.x", "net/../x", "net..x", "../net/x", "net.x\n", "net.x y", "net.x\0"]
)
def test_a_key_that_leads_elsewhere_is_refused(key: str) -> None:
    with pytest.raises(CniError, match=r"^invalid net sysctl key") as refused:
        parse(asked(sysctl={key: "1"}))
    assert refused.value.code == 7


@given(st.text(alphabet="net./IFNAME \nx", max_size=20).map(lambda text: f"net.{text}"))
def test_what_is_taken_stays_below_net(key: str) -> None:
    try:
        (found,) = paths(sysctl={key: "1"})
    except CniError:
        return
    assert sysctl.path(found) == f"/proc/sys/{found}"


def test_duplicates_are_refused() -> None:
    with pytest.raises(CniError, match="duplicated"):
        parse(asked(sysctl={"net.core.x": "1", "net/core/x": "1"}))
    for text in (b'{"sysctl": {"a": "1", "a": "1"}}', b'{"args": {"cni": {"sysctl": {"a": "1", "a": "2"}}}}'):
        with pytest.raises(CniError, match='"a" is duplicated'):
            refuse_duplicates(text)
    refuse_duplicates(b'{"sysctl": {"a": "1", "b": "1"}, "mtu": 1, "mtu": 2}')


@pytest.mark.parametrize(
    "keys",
    [
        {"mac": "zz"},
        {"arguments": "MAC=zz"},
        {"mtu": -1},
        {"mtu": "1400"},
        {"promisc": 1},
        {"allmulti": "yes"},
        {"txQLen": 2**32},
        {"dataDir": "run"},
        {"sysctl": []},
        {"sysctl": {"net.x": 1}},
        {"sysctl": {"net.x": None}},
        {"args": {"cni": {"sysctl": {"net.x": "\0"}}}},
    ],
)
def test_what_is_of_another_form_is_refused(keys: dict[str, Any]) -> None:
    with pytest.raises(CniError) as refused:
        parse(asked(**keys))
    assert refused.value.code == 7
