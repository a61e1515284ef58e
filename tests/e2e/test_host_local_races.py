"""Many host-locals at once, as real processes on one directory.

Claims: no address is given twice, whether all are ours, or half are the reference's Go program while some containers leave
again, or two networks share a lease while one of them is collected; every claim on disk is the one that was answered. The Go
program is Debian's; where it is absent its tests say so.
"""

import json
import os
import subprocess
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

GO = Path("/usr/lib/cni/host-local")
LEASE = "FLANNEL_NETWORK=10.42.0.0/16\nFLANNEL_SUBNET=10.42.1.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n"
PROCESSES = 8


class Caller:
    """A runtime that asks for many attachments; the threads only wait for their processes."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        self.lease = folder / "subnet.env"

    def ask(self, program: Path, verb: str, container: str, ipam: Any, **top: Any) -> Any:
        document = {"cniVersion": "1.0.0", "name": "blue", "ipam": {"dataDir": str(self.data), **ipam}, **top}
        environ = {
            "CNI_COMMAND": verb,
            "CNI_CONTAINERID": container,
            "CNI_IFNAME": "eth0",
            "CNI_NETNS": "/none",
            "CNI_PATH": "/",
        }
        done = subprocess.run(
            [program], input=json.dumps(document).encode(), capture_output=True, env=environ, check=False, timeout=60
        )
        assert done.returncode == 0, done.stdout
        return json.loads(done.stdout) if done.stdout else None

    def claims(self, directory: str) -> dict[str, str]:
        entries = (self.data / directory).iterdir()
        return {each.name: each.read_bytes().decode() for each in entries if each.name[0].isdigit()}


def at_once(calls: Iterable[Callable[[], Any]]) -> list[Any]:
    with ThreadPoolExecutor(PROCESSES) as pool:
        return [future.result() for future in [pool.submit(call) for call in calls]]


def address(answer: Any) -> str:
    text: str = answer["ips"][0]["address"]
    return text.partition("/")[0]


@pytest.fixture
def go() -> Path:
    """Return the reference's program; its absence is a failure in CI and a skip that says so elsewhere."""
    if not GO.exists():
        absent = pytest.fail if os.environ.get("CI") else pytest.skip
        absent("containernetworking-plugins is not installed: make setup FOR=test")
    return GO


@pytest.fixture
def caller(tmp_path: Path) -> Caller:
    made = Caller(tmp_path)
    made.lease.write_text(LEASE)
    return made


def test_32_adds_in_8_processes_get_32_addresses(caller: Caller, program: Callable[[str], Path]) -> None:
    ours = program("host-local")
    ids = [f"c{number}" for number in range(32)]
    answers = at_once(partial(caller.ask, ours, "ADD", each, {"subnet": "10.1.2.0/26"}) for each in ids)
    given = {address(answer): f"{each}\r\neth0" for each, answer in zip(ids, answers, strict=True)}
    assert len(given) == 32
    assert caller.claims("blue") == given


def test_400_adds_half_of_them_gos_fill_one_directory(caller: Caller, program: Callable[[str], Path], go: Path) -> None:
    ipam = {"ranges": [[{"subnet": "10.1.2.0/23", "rangeStart": "10.1.2.2", "rangeEnd": "10.1.3.145"}]]}
    turns = [(go if number % 2 else program("host-local"), f"c{number}") for number in range(400)]
    answers = at_once(partial(caller.ask, turn[0], "ADD", turn[1], ipam) for turn in turns)
    given = {address(answer): f"{turn[1]}\r\neth0" for turn, answer in zip(turns, answers, strict=True)}
    assert len(given) == 400
    assert caller.claims("blue") == given


def test_containers_that_come_and_go_with_either_program_share_no_address(
    caller: Caller, program: Callable[[str], Path], go: Path
) -> None:
    ipam = {"ranges": [[{"subnet": "10.1.2.0/27"}]]}
    either = (program("host-local"), go)

    def come_and_go(number: int) -> None:
        held = address(caller.ask(either[number % 2], "ADD", f"c{number}", ipam))
        assert (caller.data / "blue" / held).read_bytes() == f"c{number}\r\neth0".encode()
        caller.ask(either[number // 2 % 2], "DEL", f"c{number}", ipam)

    at_once(partial(come_and_go, number) for number in range(100))
    assert caller.claims("blue") == {}


def test_go_and_we_find_and_free_each_others_claims(caller: Caller, program: Callable[[str], Path], go: Path) -> None:
    ours, ipam = program("host-local"), {"subnet": "10.1.2.0/24"}
    assert address(caller.ask(ours, "ADD", "mine", ipam)) == "10.1.2.2"
    assert address(caller.ask(go, "ADD", "its", ipam)) == "10.1.2.3"
    caller.ask(go, "CHECK", "mine", ipam)
    caller.ask(ours, "CHECK", "its", ipam)
    caller.ask(go, "DEL", "mine", ipam)
    caller.ask(ours, "DEL", "its", ipam)
    assert caller.claims("blue") == {}


def test_collecting_one_network_of_a_lease_never_frees_the_others(
    caller: Caller, program: Callable[[str], Path]
) -> None:
    ours, ipam = program("host-local"), {"subnetFile": str(caller.lease)}
    calls: list[Callable[[], Any]] = []
    for number in range(16):
        network = "red" if number % 2 else "blue"
        calls.append(partial(caller.ask, ours, "ADD", f"c{number}", ipam, name=network))
        if number % 4 == 3:
            collect: dict[str, Any] = {"name": "red", "cniVersion": "1.1.0", "cni.dev/valid-attachments": []}
            calls.append(partial(caller.ask, ours, "GC", "", ipam, **collect))
    answers = [answer for answer in at_once(calls) if answer is not None]
    blue = {text for text in caller.claims("10.42.1.0-24").values() if text.endswith("\r\nblue")}
    assert len(answers) == 16
    assert blue == {f"c{number}\r\neth0\r\nblue" for number in range(0, 16, 2)}
