"""What host-local does for each verb, on a real disk.

Claims: ADD's first answers, files and refusals are the reference's; DEL, CHECK and GC work without the lease, in every book,
and reach only their own network's claims; STATUS tells beforehand what ADD would refuse; GC frees nothing on a guess.
GC and STATUS do their work (docs/reference/cni.md 6, row 1), and with `reclaim`, what an earlier boot left is free (row 3); `exclude` is never handed out (row 25).
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from cni import results
from cni.errors import CniError
from cni.request import compose
from cni.types import Result
from ipam import boot, index, plugin

LEASE = "FLANNEL_NETWORK=10.42.0.0/16\nFLANNEL_SUBNET=10.42.{0}.1/29\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n"


class Host:
    """One machine: a data directory, a lease file, and a way to ask host-local."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.lease = folder / "subnet.env"
        self.said: list[str] = []
        self.cni_args = ""

    def ask(
        self, verb: str, ipam: Any, container: str = "abc", ifname: str = "eth0", name: str = "blue", top: Any = None
    ) -> Result | None:
        document = {"cniVersion": "1.1.0", "name": name, "ipam": {"dataDir": str(self.data), **ipam}, **(top or {})}
        environ = {"CNI_COMMAND": verb, "CNI_CONTAINERID": container, "CNI_IFNAME": ifname, "CNI_ARGS": self.cni_args}
        asked = compose(environ, json.dumps(document).encode(), self.said.append)
        answer: Result | None = plugin.VERBS[verb](asked)
        return answer

    def given(self, ipam: Any, container: str = "abc", name: str = "blue", top: Any = None) -> list[str]:
        answer = self.ask("ADD", ipam, container, name=name, top=top)
        return [] if answer is None else [str(each.address) for each in answer.ips]

    def renew(self, number: int) -> None:
        self.lease.write_text(LEASE.format(number))

    @property
    def leased(self) -> dict[str, str]:
        return {"subnetFile": str(self.lease)}

    def files(self, directory: str = "blue") -> dict[str, bytes]:
        return {each.name: each.read_bytes() for each in (self.data / directory).iterdir() if each.name != "lock"}

    def claims(self, directory: str = "blue") -> list[str]:
        return sorted(name for name in self.files(directory) if not name.startswith("last_"))


@pytest.fixture
def host(tmp_path: Path) -> Host:
    made = Host(tmp_path)
    made.renew(1)
    return made


RANGE = {"ranges": [[{"subnet": "10.1.2.0/29"}]]}
DUAL = {
    "ranges": [[{"subnet": "10.1.2.0/24"}, {"subnet": "10.2.2.0/24"}], [{"subnet": "2001:db8:1::/64"}]],
    "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}, {"dst": "192.168.0.0/16", "gw": "1.1.1.1"}],
}


def test_first_answer_is_the_references(host: Host) -> None:
    resolv_conf = host.folder / "resolv.conf"
    resolv_conf.write_text("nameserver 192.0.2.3\nsearch example.com\n")
    answer = host.ask("ADD", {**DUAL, "resolvConf": str(resolv_conf)})
    assert answer is not None
    assert results.dump(answer, "1.0.0") == {
        "cniVersion": "1.0.0",
        "ips": [
            {"address": "10.1.2.2/24", "gateway": "10.1.2.1"},
            {"address": "2001:db8:1::2/64", "gateway": "2001:db8:1::1"},
        ],
        "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}, {"dst": "192.168.0.0/16", "gw": "1.1.1.1"}],
        "dns": {"nameservers": ["192.0.2.3"], "search": ["example.com"]},
    }
    assert host.files() == {
        "10.1.2.2": b"abc\r\neth0",
        "2001:db8:1::2": b"abc\r\neth0",
        "last_reserved_ip.0": b"10.1.2.2",
        "last_reserved_ip.1": b"2001:db8:1::2",
    }
    assert host.said == []


def test_other_interface_and_other_network_are_independent(host: Host) -> None:
    assert host.given(RANGE) == ["10.1.2.2/29"]
    assert host.ask("ADD", RANGE, ifname="eth1") is not None
    assert host.given(RANGE, name="red") == ["10.1.2.2/29"]
    host.ask("DEL", RANGE)
    assert (host.claims(), host.claims("red")) == (["10.1.2.3"], ["10.1.2.2"])


def test_white_space_around_a_container_id_is_trimmed(host: Host) -> None:
    host.given(RANGE, " dummy\n")
    assert host.files()["10.1.2.2"] == b"dummy\r\neth0"
    host.ask("DEL", RANGE, " dummy ")
    assert host.claims() == []


@pytest.mark.parametrize(
    ("sets", "wishes", "given"),
    [
        ([[{"subnet": "10.1.2.0/24"}]], ["10.1.2.88"], ["10.1.2.88/24"]),
        (
            [[{"subnet": "10.1.2.0/24"}], [{"subnet": "10.1.3.0/24"}]],
            ["10.1.2.88", "10.1.3.77/16"],
            ["10.1.2.88/24", "10.1.3.77/24"],
        ),
        (
            [[{"subnet": "172.16.1.0/24"}, {"subnet": "10.1.2.0/24"}], [{"subnet": "2001:db8:1::/64"}]],
            ["10.1.2.88", "2001:db8:1::999"],
            ["10.1.2.88/24", "2001:db8:1::999/64"],
        ),
    ],
    ids=["one", "several", "both families"],
)
@pytest.mark.parametrize("source", ["CNI_ARGS", "args", "runtimeConfig"])
def test_requested_addresses_from_every_source(
    host: Host, source: str, sets: Any, wishes: list[str], given: list[str]
) -> None:
    top: dict[str, Any] = {"args": {"cni": {"ips": wishes}}} if source == "args" else {"runtimeConfig": {"ips": wishes}}
    if source == "CNI_ARGS":  # its IP is one address; the others come from the runtime
        host.cni_args, top = f"IgnoreUnknown=1;IP={wishes[0]}", {"runtimeConfig": {"ips": wishes[1:]}}
    assert host.given({"ranges": sets}, top=top) == given


def test_second_add_is_refused_and_the_next_container_gets_the_next_address(host: Host) -> None:
    host.given(RANGE)
    with pytest.raises(CniError, match=r"10.1.2.2 has been allocated to abc, duplicate allocation is not allowed"):
        host.given(RANGE)
    assert host.given(RANGE, "other") == ["10.1.2.3/29"]


def test_addresses_are_reused_as_late_as_possible(host: Host) -> None:
    for number in range(5):
        host.given(RANGE, f"c{number}")
    for number in (3, 1):
        host.ask("DEL", RANGE, f"c{number}")
    assert [host.given(RANGE, "d0"), host.given(RANGE, "d1")] == [["10.1.2.3/29"], ["10.1.2.5/29"]]


def test_unreadable_resolv_conf_is_refused_before_anything_is_stored(host: Host) -> None:
    with pytest.raises(CniError, match="cannot read /none"):
        host.given({**RANGE, "resolvConf": "/none"})
    assert not host.data.exists()


def test_requested_address_is_given(host: Host) -> None:
    assert host.given(RANGE, top={"runtimeConfig": {"ips": ["10.1.2.5/32"]}}) == ["10.1.2.5/29"]


def test_unmet_request_leaves_nothing(host: Host) -> None:
    with pytest.raises(CniError, match=r"^failed to allocate all requested IPs: 10.1.9.9"):
        host.given(RANGE, top={"args": {"cni": {"ips": ["10.1.2.5", "10.1.9.9"]}}})
    assert host.files() == {}


def test_del_is_idempotent_and_makes_nothing(host: Host) -> None:
    host.ask("DEL", RANGE)
    assert not host.data.exists()
    host.given(RANGE)
    host.ask("DEL", RANGE)
    host.ask("DEL", RANGE)
    assert host.claims() == []


def test_del_ignores_wishes_and_a_malformed_prev_result(host: Host) -> None:
    host.given(RANGE)
    host.ask("DEL", RANGE, top={"args": {"cni": {"ips": "junk"}}, "prevResult": 7})
    assert host.claims() == []


def test_del_and_check_find_legacy_files(host: Host) -> None:
    (host.data / "blue").mkdir(parents=True)
    (host.data / "blue" / "10.1.2.4").write_bytes(b"abc\n")
    host.ask("CHECK", RANGE)
    host.ask("DEL", RANGE)
    assert host.claims() == []


def test_del_frees_the_interfaces_own_claim_and_not_the_legacy_one(host: Host) -> None:
    host.given(RANGE)
    (host.data / "blue" / "10.1.2.4").write_bytes(b"abc")
    host.ask("DEL", RANGE)
    assert host.claims() == ["10.1.2.4"]


def test_check_wants_some_reservation(host: Host) -> None:
    with pytest.raises(CniError, match="Failed to find address added by container abc") as refusal:
        host.ask("CHECK", RANGE)
    assert refusal.value.code == 102
    host.given(RANGE)
    host.ask("CHECK", RANGE)
    with pytest.raises(CniError, match="abc"):
        host.ask("CHECK", RANGE, ifname="eth1")


@pytest.mark.parametrize("verb", ["ADD", "CHECK", "DEL", "STATUS", "GC"])
def test_every_verb_refuses_a_configuration_that_add_refuses(host: Host, verb: str) -> None:
    with pytest.raises(CniError, match="no IP ranges specified"):
        host.ask(verb, {}, top={"cni.dev/valid-attachments": []})


def test_lease_gives_range_gateway_and_routes(host: Host) -> None:
    answer = host.ask("ADD", host.leased)
    assert answer is not None
    assert results.dump(answer, "1.1.0") == {
        "cniVersion": "1.1.0",
        "ips": [{"address": "10.42.1.2/29", "gateway": "10.42.1.1"}],
        "routes": [{"dst": "10.42.0.0/16"}],
    }
    assert host.files("10.42.1.0-29") == {
        "10.42.1.2": b"abc\r\neth0\r\nblue",
        "last_reserved_ip.0": b"10.42.1.2",
    }


def test_two_networks_on_one_lease_never_share_an_address(host: Host) -> None:
    assert host.given(host.leased, name="blue") == ["10.42.1.2/29"]
    assert host.given(host.leased, name="red") == ["10.42.1.3/29"]


def test_explicit_ranges_claim_in_the_leases_book_too(host: Host) -> None:
    part = {**host.leased, "ranges": [[{"subnet": "10.42.1.0/29", "rangeStart": "10.42.1.2"}]]}
    assert host.given(part, name="red") == ["10.42.1.2/29"]
    assert host.given(host.leased, name="blue") == ["10.42.1.3/29"]


def test_second_add_in_a_book_is_refused_for_the_same_network_only(host: Host) -> None:
    host.given(host.leased, name="blue")
    with pytest.raises(CniError, match="duplicate allocation is not allowed"):
        host.given(host.leased, name="blue")
    assert host.given(host.leased, name="red") == ["10.42.1.3/29"]


@pytest.mark.parametrize(("verb", "code"), [("ADD", 11), ("STATUS", 50)])
@pytest.mark.parametrize("content", [None, "FLANNEL_MTU=1450\n"])
def test_without_a_usable_lease(host: Host, verb: str, code: int, content: str | None) -> None:
    host.lease.unlink()
    if content is not None:
        host.lease.write_text(content)
    with pytest.raises(CniError) as refusal:
        host.ask(verb, host.leased)
    assert refusal.value.code == code
    assert refusal.value.msg.startswith(f"lease file {host.lease}: ")
    assert "tulled" in refusal.value.remedy
    assert not host.data.exists()


@pytest.mark.parametrize("gone", [True, False])
def test_check_del_and_gc_find_claims_of_an_earlier_lease(host: Host, *, gone: bool) -> None:
    host.given(host.leased, "one")
    host.given(host.leased, "two")
    host.lease.unlink() if gone else host.renew(2)
    host.ask("CHECK", host.leased, "one")
    host.ask("DEL", host.leased, "one")
    assert host.claims("10.42.1.0-29") == ["10.42.1.3"]
    host.ask("GC", host.leased, top={"cni.dev/valid-attachments": []})
    assert host.claims("10.42.1.0-29") == []


@pytest.mark.parametrize("verb", ["DEL", "GC"])
def test_del_and_gc_of_a_network_leave_the_others_claims(host: Host, verb: str) -> None:
    host.given(host.leased, name="blue")
    host.given(host.leased, name="red")
    host.ask(verb, host.leased, name="red", top={"cni.dev/valid-attachments": None})
    assert host.claims("10.42.1.0-29") == ["10.42.1.2"]


def test_del_tries_every_book_and_reports_together(host: Host) -> None:
    for number in (1, 2, 3):
        host.renew(number)
        host.given(host.leased)
    for number in (1, 3):
        (host.data / f"10.42.{number}.0-29" / "lock").unlink()
        (host.data / f"10.42.{number}.0-29" / "lock").mkdir()
    with pytest.raises(ExceptionGroup) as refusal:
        host.ask("DEL", host.leased)
    assert [str(each).split(":")[0] for each in refusal.value.exceptions] == [
        f"address book {host.data}/10.42.{number}.0-29" for number in (1, 3)
    ]
    assert host.claims("10.42.2.0-29") == []


def _full(host: Host) -> None:
    for number in range(5):
        host.given(RANGE, f"c{number}")


def test_status_passes_while_there_is_room(host: Host) -> None:
    _full(host)
    host.ask("DEL", RANGE, "c3")
    host.ask("STATUS", RANGE)


def test_row_1_status_of_a_full_set_is_50(host: Host) -> None:
    _full(host)
    with pytest.raises(CniError, match=r"no IP addresses available in range set: 10.1.2.1-10.1.2.6") as refusal:
        host.ask("STATUS", RANGE)
    assert refusal.value.code == 50


def test_status_of_an_unusable_directory_is_50(host: Host) -> None:
    host.data.touch()
    with pytest.raises(CniError, match=f"address book {host.data}/blue: ") as refusal:
        host.ask("STATUS", RANGE)
    assert refusal.value.code == 50


def _gc(host: Host, **lists: Any) -> list[str]:
    for number in range(3):
        host.given(RANGE, f"c{number}")
    host.ask("GC", RANGE, top={f"cni.dev/{key.replace('_', '-')}": value for key, value in lists.items()})
    return host.claims()


C1 = {"containerID": "c1", "ifname": "eth0"}
C2 = {"containerID": "c2", "ifname": "eth0"}


@pytest.mark.parametrize(
    ("lists", "kept"),
    [
        ({}, ["10.1.2.2", "10.1.2.3", "10.1.2.4"]),
        ({"valid_attachments": [C1]}, ["10.1.2.3"]),
        ({"attachments": [C1]}, ["10.1.2.3"]),
        ({"valid_attachments": [C1], "attachments": [C2]}, ["10.1.2.3", "10.1.2.4"]),
        ({"valid_attachments": [{**C1, "ifname": "eth1"}]}, []),
        ({"valid_attachments": []}, []),
        ({"valid_attachments": None}, []),
    ],
)
def test_row_1_gc_keeps_what_the_runtime_lists(host: Host, lists: dict[str, Any], kept: list[str]) -> None:
    assert _gc(host, **lists) == kept


@pytest.mark.parametrize("junk", [[7], "all", {"containerID": "c1"}])
def test_gc_with_a_malformed_list_frees_nothing(host: Host, junk: Any) -> None:
    with pytest.raises(CniError) as refusal:
        _gc(host, valid_attachments=junk)
    assert refusal.value.code == 7
    assert len(host.claims()) == 3


def _reboot(host: Host, directory: str = "blue") -> None:
    """Make every claim say that another boot made it, as they do after one."""
    for name in host.claims(directory):
        os.setxattr(host.data / directory / name, boot.ATTRIBUTE, b"00000000-0000-4000-8000-000000000000")


RECLAIM = {**RANGE, "reclaim": True}


@pytest.mark.parametrize("reclaim", [False, True])
def test_row_3_a_pool_full_of_an_earlier_boots_claims(host: Host, *, reclaim: bool) -> None:
    _full(host)
    _reboot(host)
    if reclaim:
        host.ask("STATUS", RECLAIM)
        assert [host.given(RECLAIM, "new"), host.given(RECLAIM, "newer")] == [["10.1.2.2/29"], ["10.1.2.3/29"]]
        assert host.said[0] == f"{host.data}/blue/10.1.2.2 is free: left by 'c0\\r\\neth0'"
    else:
        with pytest.raises(CniError, match="no IP addresses available"):
            host.given(RANGE, "new")


@pytest.mark.parametrize(
    ("machine", "reclaim", "free"),
    [("here", None, True), ("here", False, False), ("there", None, False), ("there", True, True)],
)
def test_an_earlier_boot_of_this_machine_frees_by_itself_another_machines_when_asked(
    host: Host, monkeypatch: pytest.MonkeyPatch, machine: str, reclaim: bool | None, free: bool
) -> None:
    monkeypatch.setattr(boot, "machine", lambda: b"0" * 32)
    ipam = {**RANGE, **({} if reclaim is None else {"reclaim": reclaim})}
    _full(host)
    for name in host.claims():
        whose = b"0" * 32 if machine == "here" else b"1" * 32
        os.setxattr(host.data / "blue" / name, boot.ATTRIBUTE, b"00000000-0000-4000-8000-000000000000 " + whose)
    if free:
        assert host.given(ipam, "new") == ["10.1.2.2/29"]
    else:
        with pytest.raises(CniError, match="no IP addresses available"):
            host.given(ipam, "new")


def test_reclaiming_frees_no_claim_of_this_boot_and_none_without_a_stamp(host: Host) -> None:
    _full(host)
    _reboot(host)
    os.removexattr(host.data / "blue" / "10.1.2.2", boot.ATTRIBUTE)
    host.ask("DEL", RECLAIM, "c1")
    assert host.given(RECLAIM, "new1") == ["10.1.2.3/29"]
    assert [host.given(RECLAIM, f"new{number}") for number in (2, 3, 4)] == [
        [f"10.1.2.{number}/29"] for number in (4, 5, 6)
    ]
    with pytest.raises(CniError, match="no IP addresses available"):
        host.given(RECLAIM, "new5")


def test_reclaiming_lets_a_container_of_an_earlier_boot_come_back_without_a_del(host: Host) -> None:
    host.given(RECLAIM)
    with pytest.raises(CniError, match="duplicate allocation is not allowed"):
        host.given(RECLAIM)
    _reboot(host)
    assert host.given(RECLAIM) == ["10.1.2.3/29"]
    host.ask("DEL", RECLAIM)
    assert host.claims() == []


def test_an_address_of_another_hosts_subnet_is_told_as_that(host: Host) -> None:
    host.renew(7)
    host.cni_args = "IP=10.42.8.5"
    with pytest.raises(CniError) as refused:
        host.given({"type": "host-local"}, top={"subnetFile": str(host.lease)})
    assert refused.value.msg == "failed to allocate all requested IPs: 10.42.8.5"
    assert refused.value.remedy.startswith(
        "10.42.8.5 is in 10.42.8.0/29, another host's subnet (tulle status says whose); choose an address in 10.42.7.1-10.42.7.6"
    )
    host.cni_args = "IP=192.0.2.5"
    with pytest.raises(CniError) as refused:
        host.given({"type": "host-local"}, top={"subnetFile": str(host.lease)})
    assert refused.value.remedy.startswith("choose an address in 10.42.7.1-10.42.7.6")


def test_reclaiming_grants_a_requested_address_of_an_earlier_boot(host: Host) -> None:
    host.given(RECLAIM, "old")
    _reboot(host)
    assert host.given(RECLAIM, top={"runtimeConfig": {"ips": ["10.1.2.2"]}}) == ["10.1.2.2/29"]
    assert host.files()["10.1.2.2"] == b"abc\r\neth0"


def test_row_25_exclude_is_never_handed_out(host: Host) -> None:
    ipam = {**RANGE, "exclude": ["10.1.2.2", "10.1.2.4/31"]}
    assert [host.given(ipam, name) for name in ("one", "two")] == [["10.1.2.3/29"], ["10.1.2.6/29"]]
    with pytest.raises(CniError, match="no IP addresses available"):
        host.given(ipam, "three")
    with pytest.raises(CniError, match="no IP addresses available"):
        host.ask("STATUS", ipam)
    with pytest.raises(CniError, match=r"requested ip 10.1.2.4 is excluded"):
        host.given(ipam, "three", top={"runtimeConfig": {"ips": ["10.1.2.4"]}})
    host.ask("DEL", ipam, "one")
    assert host.given(ipam, "three") == ["10.1.2.3/29"]


def test_row_5_a_second_add_is_refused_and_nothing_is_lost(host: Host) -> None:
    host.given(RANGE)
    with pytest.raises(CniError, match="duplicate allocation is not allowed"):
        host.given(RANGE)
    host.ask("CHECK", RANGE)
    assert host.claims() == ["10.1.2.2"]


def test_index_lies_beside_the_directory_while_there_is_more_than_a_few_claims(host: Host) -> None:
    many = {"subnet": "10.1.2.0/24"}
    seen = []
    for verb in ("ADD", "DEL"):
        for number in range(index.FEW + 1):
            host.ask(verb, many, f"c{number}")
            seen.append((host.data / ".blue.index").exists())
    assert seen == [False] * index.FEW + [True] + [False] * (index.FEW + 1)
    assert [each.name for each in host.data.iterdir()] == ["blue"]


def test_gc_drops_blank_files_and_leaves_cursors(host: Host) -> None:
    host.given(RANGE)
    (host.data / "blue" / "10.1.2.6").touch()
    host.ask("GC", RANGE, top={"cni.dev/valid-attachments": [{"containerID": "abc", "ifname": "eth0"}]})
    assert host.files() == {"10.1.2.2": b"abc\r\neth0", "last_reserved_ip.0": b"10.1.2.2"}
