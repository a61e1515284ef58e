"""Claims: a record tells the tunnels that were written into it; where nobody wrote one, or somebody else did, it tells nothing, and no
entry of it becomes nft's language; the table counts and drops what is the tunnel's from whoever is inside, wherever that came in, and is not made twice; among containers another VNI is let alone; a
link whose name nft cannot hold is left to the other rules.
"""

import json
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from lease import tunnel
from lease.tunnel import Tunnel

ONE = Tunnel("tulle-guard-7", (8472,), 7, underlay="eth0")
ALL = Tunnel("tulle-guard-all", (51820, 51821), protocols=(4, 50))
NETWORKS = (ip_network("10.42.0.0/16"), ip_network("fd00:42::/48"))


def recorded(place: Path, tunnels: Any) -> str:
    (place / "subnet.env.made").write_text(json.dumps({"boot": "x", tunnel.KEY: tunnels}))
    return str(place / "subnet.env")


def test_a_record_tells_what_was_written(tmp_path: Path) -> None:
    assert tunnel.read(recorded(tmp_path, [tunnel.encoded(ONE), tunnel.encoded(ALL)])) == (ONE, ALL)
    assert tunnel.read(recorded(tmp_path, [])) == ()


def test_without_a_record_nothing_is_known(tmp_path: Path) -> None:
    assert tunnel.read(str(tmp_path / "subnet.env")) is None


@pytest.mark.parametrize(
    "change",
    [
        {"table": "filter"},
        {"table": 'tulle-guard-1 { }\nflush ruleset"'},
        {"ports": [70000]},
        {"ports": ["8472"]},
        {"ports": [True]},
        {"vni": 1 << 24},
        {"vni": "1"},
        {"protocols": [256]},
        {"underlay": 3},
    ],
)
def test_an_entry_nobody_of_ours_wrote_tells_nothing(tmp_path: Path, change: dict[str, Any]) -> None:
    assert tunnel.read(recorded(tmp_path, [{**tunnel.encoded(ONE), **change}])) is None


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", "\x00", "[" * 100_000, '{"tunnels": 3}', '{"tunnels": [3]}'])
def test_a_record_that_is_none_tells_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "subnet.env.made").write_text(text)
    assert tunnel.read(str(tmp_path / "subnet.env")) is None


def test_the_table_drops_what_is_the_tunnels_in_both_paths() -> None:
    text = tunnel.table(ONE, NETWORKS)
    assert text.startswith("create table inet tulle-guard-7\n")
    assert ("udp dport 8472 jump forwarded" in text, "udp dport 8472 jump received" in text) == (True, True)
    every = tunnel.table(ALL, NETWORKS)
    assert ("meta l4proto { 4, 50 } jump forwarded" in every, "meta l4proto { 4, 50 } jump received" in every) == (
        True,
        True,
    )


def test_only_among_containers_another_vni_is_none_of_ours() -> None:
    lines = [line.strip() for line in tunnel.table(ONE, NETWORKS).splitlines() if "@th,96,24" in line]
    assert lines == ["ip daddr 10.42.0.0/16 @th,96,24 != 7 return", "ip6 daddr fd00:42::/48 @th,96,24 != 7 return"]


@pytest.mark.parametrize("name", ['a"b', "eth*", "back\\slash", "new\nline"])
def test_a_name_nft_cannot_hold_is_left_out(name: str) -> None:
    text = tunnel.table(Tunnel("tulle-guard", (8472,), underlay=name), NETWORKS, (name, "tulle0"))
    assert (name in text, 'iifname "tulle0" goto refuse_inside' in text) == (False, True)
    assert "ip saddr 10.42.0.0/16 goto refuse_inside" in text
