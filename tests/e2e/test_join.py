"""Claims about `tulle join --now` as it is built, on a pretend host that has nothing yet, with a real etcd and a real tulled:

- a wrong etcd, a CA that is none and an etcd without a network config each end in seconds, with the reason and what to do, and nothing is written
- the same command with the mistake corrected works, and prints the subnet, the line for the firewall that is found and what to type next
- a daemon that cannot finish its start ends the command within half a minute, with the daemon's own reason
- a range that the host has already is refused with both named
- afterwards the host leaves, and nothing is left

systemd does not run here: `systemctl` is tests/lab/systemctl.py, and `journalctl` prints the log that it keeps.
"""

import json
import time
from collections.abc import Iterator

import pytest

from tests.lab import machine
from tests.lab.daemon import DIST, ROOT
from tests.lab.hosts import Lab
from tests.lab.machine import Machine
from tests.lab.member import URL, Member

CONFIG = {"Network": "10.42.0.0/16", "Backend": {"Type": "vxlan"}}
KEY = "/coreos.com/network/config"
WALL = "nft 'table inet wall { chain in { type filter hook input priority 0; policy drop; iif lo accept; ct state established accept; }; }'"


@pytest.fixture(scope="module")
def place() -> Iterator[tuple[Machine, Member]]:
    """A machine with tulle's programs and units, and an etcd outside that has no network config yet."""
    with Lab({"first": 1}) as lab:
        one, member = machine.furnish(lab.hosts["first"]), Member(lab)
        member.start()
        for name in ("tulle", "tulled"):
            one.type(f"ln -sf {DIST}/bin/{name} /usr/local/bin/{name}")
        one.type(
            f"mkdir -p /etc/systemd/system; cd {ROOT}/build/systemd; "
            f"for unit in tulled.service tulle-agent.service; do "
            f"sed s,/usr/local/bin,{DIST}/bin, $unit >/etc/systemd/system/$unit; done"
        )
        one.type("rm -rf /etc/tulle /etc/default/tulled /var/lib/tulle")
        one.program("/usr/bin/journalctl", "cat /run/systemd/services/tulled.log")
        yield one, member
        member.kill()


def written(one: Machine) -> str:
    return one.type("ls /etc/tulle /etc/default/tulled /var/lib/tulle 2>/dev/null || true")


def refused(one: Machine, words: str, within: float) -> str:
    """Type a join that is refused, and see that it took so long at most and wrote nothing."""
    before, began = written(one), time.monotonic()
    code, said = one.attempt(f"tulle join --now {words}")
    assert (code, written(one)) == (1, before)
    assert time.monotonic() - began < within
    return said


def test_what_is_wrong_is_said_in_seconds_and_the_same_command_corrected_works(place: tuple[Machine, Member]) -> None:
    one, member = place
    assert "connection refused; start etcd, open the way to it, or correct --etcd" in refused(
        one, "--etcd http://127.0.0.1:1", 10
    )
    assert "http://192.0.2.77:2379: network is unreachable; start etcd" in refused(
        one, "--etcd http://192.0.2.77:2379", 15
    )
    one.type("mkdir -p /etc/default; echo TULLED_ETCD_CAFILE=/no/ca.pem >/etc/default/tulled")
    assert "/no/ca.pem: no usable CA file" in refused(one, "--etcd https://192.0.2.77:2379", 10)
    one.type("rm /etc/default/tulled")
    assert f"etcd has no network config at {KEY}; put one: etcdctl put" in refused(one, f"--etcd {URL}", 10)
    member.ctl("put", KEY, json.dumps(CONFIG))
    one.type(WALL)
    said = one.type(f"tulle join --now --etcd {URL}")
    one.type("nft delete table inet wall")
    assert "tulled is running; this host has 10.42." in said
    assert "firewall here: nft insert rule inet wall in udp dport 8472 accept" in said
    assert said.endswith(f"on the next host: tulle join --now --etcd {URL}\nnext: tulle init\n")


def test_a_daemon_that_cannot_finish_its_start_is_told_within_half_a_minute(place: tuple[Machine, Member]) -> None:
    one, _ = place
    real = one.type("cat /usr/bin/systemctl").splitlines()[-1]
    drop = "nft 'table inet gone { chain out { type filter hook output priority 0; tcp dport 2379 drop; }; }'"
    one.type(
        "systemctl stop tulled; rm -f /run/flannel/subnet.env /etc/default/tulled /run/systemd/services/tulled.log"
    )
    one.program("/usr/bin/systemctl", f"{drop}\n{real}")
    began = time.monotonic()
    code, said = one.attempt(f"tulle join --now --etcd {URL}")
    passed = time.monotonic() - began
    one.program("/usr/bin/systemctl", real)
    one.type("nft delete table inet gone")
    assert (code, 25 < passed < 45) == (1, True)
    assert "tulled has not finished its start after 30 s, and goes on trying" in said
    assert "tulled says: " in said
    assert "no answer in time" in said
    one.type("systemctl restart tulled")


def test_a_range_that_the_host_has_already_is_refused(place: tuple[Machine, Member]) -> None:
    one, _ = place
    own = one.type("ip -o -4 address show dev eth0").split()[3].partition("/")[0]
    one.type("ip address add 10.77.1.1/24 dev eth0")
    said = refused(one, f"--network 10.77.0.0/16 --replace {own}", 10)
    one.type("ip address delete 10.77.1.1/24 dev eth0")
    assert "10.77.0.0/16 overlaps the address 10.77.1.1/24 of eth0 on this host" in said


def test_the_host_leaves(place: tuple[Machine, Member]) -> None:
    one, member = place
    code, said = one.attempt("tulle leave")
    assert (code, "systemctl disable --now tulled tulle-agent, then tulle leave again" in said) == (1, True)
    one.type("systemctl disable --now tulled tulle-agent; tulle leave")
    assert [key for key in member.entries() if "/subnets/" in key] == []
    assert "flannel" not in one.type("ip -o link show")
