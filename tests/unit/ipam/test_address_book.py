"""The address book against a model: ADD, DEL and GC, ours and the reference's in one directory, with crashes and reboots.

Claims: whatever happens in whatever order, directory and model tell the same; no address has two holders; a call killed
before any step that touches the disk leaves its reservation whole or not at all; what the index says is what the files say;
with `reclaim` exactly the claims stamped by an earlier boot are free.
"""

import fcntl
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, ip_address, ip_interface
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from cni.errors import CniError, Code
from ipam import allocator, boot, claims, disk, ranges
from ipam.claims import Claim
from ipam.ranges import RangeSet

FIRST, LAST = 2, 7
POOL = RangeSet((ranges.canonical(ip_interface("10.1.2.0/28"), end=ip_address(f"10.1.2.{LAST}")),))
TOUCHING = frozenset(
    {"open", "os.mkdir", "os.link", "os.remove", "os.scandir", "os.setxattr", "os.utime", "fcntl.flock"}
)
EARLIER = b"00000000-0000-4000-8000-000000000000"

ADDRESSES = st.integers(FIRST, LAST).map(lambda number: f"10.1.2.{number}")
CLAIMS = st.builds(
    Claim, st.sampled_from(["a", "b", "c"]), st.sampled_from(["eth0", "net1"]), st.sampled_from(["", "red"])
)
EVERY_CLAIM = [Claim(name, ifname, network) for name in "abc" for ifname in ("eth0", "net1") for network in ("", "red")]
KILLS = st.integers(0, 14)


@dataclass(frozen=True)
class Entry:
    """What the model knows of one file: its text, empty for a blank one, and which boot its stamp names."""

    text: str
    stamp: str = ""

    def vacant(self, *, reclaim: bool) -> bool:
        return not self.text or (reclaim and self.stamp == "earlier")


def killed_before(call: int, act: Callable[[], object]) -> None:
    """Run `act` in a process of its own that ends without any farewell before the call-th time it touches the disk."""
    child = os.fork()
    if child == 0:
        left = call

        def die(event: str, _arguments: object) -> None:
            nonlocal left
            left -= event in TOUCHING
            if left < 0:
                os._exit(9)

        sys.addaudithook(die)
        try:
            act()
        finally:
            os._exit(0)
    os.waitpid(child, 0)


class AddressBook(RuleBasedStateMachine):
    """One directory, and a dictionary that is told everything that was done to it."""

    def __init__(self) -> None:
        super().__init__()
        self.place = tempfile.TemporaryDirectory()
        self.book = Path(self.place.name, "blue")
        self.model: dict[str, Entry] = {}

    def teardown(self) -> None:
        self.place.cleanup()

    def _add(self, claim: Claim, *, reclaim: bool) -> str:
        with disk.locked(str(self.book), lambda text: None, create=True, reclaim=reclaim) as directory:
            (allotted,) = allocator.allocate([POOL], [], directory, claim)
        return str(allotted.address)

    def _delete(self, claim: Claim) -> None:
        with disk.locked(str(self.book), print, create=True) as directory:
            mine = claims.held(directory.claimed(claim), claim) or claims.held(directory.reservations(), claim)
            for each in mine:
                directory.release(each)

    def _held(self, claim: Claim) -> set[str]:
        """Return the files that are the claim's own, else those that name its container alone."""
        exact = {name for name, entry in self.model.items() if entry.text == claim.text}
        legacy = {name for name, entry in self.model.items() if entry.text == claim.container_id}
        return exact or (set() if claim.network else legacy)

    def _expected_refusal(self, claim: Claim, *, reclaim: bool) -> Code | None:
        texts = {claim.text} if claim.network else {claim.text, claim.container_id}
        occupied = [entry for entry in self.model.values() if not entry.vacant(reclaim=reclaim)]
        if any(entry.text in texts for entry in occupied):
            return Code.CONFLICT
        return Code.NO_ADDRESS if len(occupied) == LAST - FIRST + 1 else None

    @rule(claim=CLAIMS, reclaim=st.booleans())
    def add(self, claim: Claim, *, reclaim: bool) -> None:
        expected = self._expected_refusal(claim, reclaim=reclaim)
        if expected is not None:
            with pytest.raises(CniError) as refusal:
                self._add(claim, reclaim=reclaim)
            assert refusal.value.code == expected
            return
        given = self._add(claim, reclaim=reclaim)
        assert given not in self.model or self.model[given].vacant(reclaim=reclaim)
        self.model[given] = Entry(claim.text, "current")

    @rule(claim=CLAIMS, reclaim=st.booleans(), call=KILLS)
    def add_killed(self, claim: Claim, *, reclaim: bool, call: int) -> None:
        killed_before(call, lambda: self._add(claim, reclaim=reclaim))
        for name, text in self._files().items():
            if name not in self.model or self.model[name].text != text:
                assert text == claim.text
                assert name not in self.model or self.model[name].vacant(reclaim=reclaim)
                self.model[name] = Entry(text, "current")
            elif self._stamp(name) == boot.current():
                self.model[name] = replace(self.model[name], stamp="current")
        for name in self.model.keys() - self._files().keys():
            assert self.model.pop(name).vacant(reclaim=reclaim)

    @rule(claim=CLAIMS)
    def delete(self, claim: Claim) -> None:
        gone = self._held(claim)
        self._delete(claim)
        self.model = {name: entry for name, entry in self.model.items() if name not in gone}

    @rule(claim=CLAIMS, call=KILLS)
    def delete_killed(self, claim: Claim, call: int) -> None:
        mine = self._held(claim)
        killed_before(call, lambda: self._delete(claim))
        gone = self.model.keys() - self._files().keys()
        assert gone <= mine
        self.model = {name: entry for name, entry in self.model.items() if name not in gone}

    @rule(claim=CLAIMS, network=st.sampled_from(["", "red"]))
    def collect(self, claim: Claim, network: str) -> None:
        valid = frozenset({(claim.container_id, claim.ifname)})
        with disk.locked(str(self.book), print, create=True) as directory:
            for each in claims.stale(directory.reservations(), valid, network):
                directory.release(each)
        self.model = {name: entry for name, entry in self.model.items() if _survives(entry.text, claim, network)}

    @rule(address=ADDRESSES, claim=CLAIMS, legacy=st.booleans())
    def reference_adds(self, address: str, claim: Claim, *, legacy: bool) -> None:
        """Make a reservation as the Go program does: under the lock, exclusively, knowing nothing of an index."""
        if address in self.model:
            return
        text = claim.container_id if legacy else Claim(claim.container_id, claim.ifname).text
        self._as_the_reference(lambda: (self.book / address).write_bytes(text.encode()))
        self.model[address] = Entry(text)

    @rule(address=ADDRESSES)
    def reference_deletes(self, address: str) -> None:
        self._as_the_reference(lambda: (self.book / address).unlink(missing_ok=True))
        self.model.pop(address, None)

    @rule(address=ADDRESSES)
    def reference_meets_a_full_disk(self, address: str) -> None:
        if address not in self.model:
            self._as_the_reference((self.book / address).touch)
            self.model[address] = Entry("")

    @rule()
    def reboot(self) -> None:
        for name, entry in self.model.items():
            if entry.stamp == "current":
                os.setxattr(self.book / name, boot.ATTRIBUTE, EARLIER)
                self.model[name] = replace(entry, stamp="earlier")

    @invariant()
    def tell_the_same(self) -> None:
        assert self._files() == {name: entry.text for name, entry in self.model.items()}

    @invariant()
    def index_never_misleads(self) -> None:
        with disk.locked(str(self.book), print, create=True) as directory:
            for claim in EVERY_CLAIM:
                assert {each.path for each in claims.held(directory.claimed(claim), claim)} == self._held(claim)

    def _as_the_reference(self, act: Callable[[], object]) -> None:
        self.book.mkdir(exist_ok=True)
        with (self.book / "lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            act()

    def _files(self) -> dict[str, str]:
        if not self.book.exists():
            return {}
        return {each.name: each.read_bytes().decode() for each in self.book.iterdir() if _is_address(each.name)}

    def _stamp(self, name: str) -> bytes:
        present = boot.ATTRIBUTE in os.listxattr(self.book / name)
        return os.getxattr(self.book / name, boot.ATTRIBUTE) if present else b""


def _is_address(name: str) -> bool:
    try:
        return bool(IPv4Address(name))
    except ValueError:
        return False


def _survives(text: str, valid: Claim, network: str) -> bool:
    match text.split("\r\n"):
        case [container_id] if container_id:
            return bool(network) or container_id == valid.container_id
        case [container_id, ifname]:
            return bool(network) or (container_id, ifname) == (valid.container_id, valid.ifname)
        case [container_id, ifname, _]:
            return not network or (container_id, ifname) == (valid.container_id, valid.ifname)
    return False


AddressBook.TestCase.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
test_book_and_model_agree = AddressBook.TestCase
