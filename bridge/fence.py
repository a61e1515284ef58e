"""Keeps the rules of bridge.spoofing in the kernel and each port's elements in their sets: before the port is there, until it is gone.

What a port may send is written down under /run as well: whoever finds the table flushed makes it again with all ports that are
still there, and DEL need not search the sets. That memory may be lost, and refuses nothing.
"""
# pathlib costs milliseconds that every container's start would pay:
# ruff: noqa: PTH103, PTH108, PTH118, PTH208

import errno
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress

from bridge import ports, spoofing
from bridge.ports import NAME_BYTES, Port
from bridge.spoofing import SETS, TABLE
from cni.errors import CniError, Code
from cni.owner import Owner
from kernel.errors import KernelError
from kernel.network import Network
from kernel.nf_tables import Tables, elements

MEMORY = "/run/tulle/spoofchk"
ATTEMPTS = 3
"""How often another program may change the table while it is made."""
UNDER_WAY = 60.0
"""Seconds for which GC leaves alone what was remembered for a port that is not there: perhaps it is just being made."""
READ_BYTES = 4096
QUIET = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
WHAT = "changing the rules against spoofing"


def admit(owner: Owner, port: Port) -> None:
    """Have the port judged from its first frame on. Raises CniError 100 where the kernel cannot, KernelError for what it refuses."""
    _remember(owner, port)
    try:
        with Tables() as tables:
            _admit(tables, owner, port)
    except KernelError as refused:
        if refused.unsupported:
            raise _unsupported() from refused
        raise


def require() -> None:
    """Raise CniError 50 unless the kernel would take the rules; changes nothing: the transaction asks for one thing too many."""
    wanted = [*spoofing.frame(), TABLE.remove("ports", bytes(NAME_BYTES))]
    with Tables() as tables:
        refused = tables.refusals(WHAT, wanted)
    if any(refusal.number not in {errno.EEXIST, errno.ENOENT} for refusal in refused.values()):
        raise _unsupported(Code.NOT_AVAILABLE)


def stands(port: Port) -> bool:
    """Tell whether every rule and every element of the port is there."""
    with Tables() as tables:
        return _is_whole(tables) and all(tables.holds(WHAT, TABLE.get(name, key)) for name, key in port.keys)


def dismiss(owner: Owner, *, search: bool) -> None:
    """Remove the elements of an attachment's port, which is gone; with `search` also those that nothing remembers."""
    port = _recall(owner.mark)
    if port is None and not search:
        return
    with Tables() as tables:
        if port is not None:
            _remove(tables, port.keys)
        else:
            _remove(
                tables, _of_ports(tables, {key for key, comment in _listed(tables) if comment.startswith(owner.mark)})
            )
    _forget(owner.mark)


def dismiss_orphans() -> None:
    """Remove the elements of every port that is gone, whatever network it was of: nobody can send through it any more."""
    with Tables() as tables, Network() as host:
        listed = _listed(tables)
        remembered = list(_remembered())
        present = {link.name for link in host.links()}
        gone = {key for key, _ in listed if _name(key) not in present}
        begun = {port.name for _, port, age in remembered if age < UNDER_WAY}
        _remove(tables, _of_ports(tables, {key for key in gone if _name(key) not in begun}))
    for mark, port, age in remembered:
        if port.name not in present and age >= UNDER_WAY:
            _forget(mark)


def _admit(tables: Tables, owner: Owner, port: Port) -> None:
    """Add to the table that stands; one that is not whole is made anew with every port that is known."""
    own = (port, owner.comment)
    for _ in range(ATTEMPTS):
        whole = _is_whole(tables)
        wanted = spoofing.admission([own]) if whole else [*spoofing.frame(), *spoofing.admission([*_standing(), own])]
        refused = tables.refusals(WHAT, wanted)
        if not refused:
            return
        first = refused[min(refused)]
        if first.number == errno.EEXIST and not whole:
            tables.refusals(
                WHAT, [TABLE.delete(), *wanted]
            )  # its rules were flushed; the next round tells whether it is whole
        elif first.number != errno.ENOENT:
            raise KernelError(first.number, WHAT, first.reason)
    raise CniError(Code.TRY_AGAIN_LATER, f"{WHAT}: another program changes them at the same time", "try again")


def _is_whole(tables: Tables) -> bool:
    return len(tables.all(WHAT, TABLE.get_rules())) == len(spoofing.RULES)


def _standing() -> Iterator[tuple[Port, str]]:
    """Yield every port that is remembered and still there."""
    with Network() as host:
        present = {link.name: Owner.signed(link.alias) for link in host.links()}
    for _, port, _ in _remembered():
        owner = present.get(port.name)
        if owner is not None:
            yield port, owner.comment


def _listed(tables: Tables) -> list[tuple[bytes, str]]:
    """Return every port that is judged, as the sets name it, with its comment."""
    return [(each.key, each.comment) for data in tables.all(WHAT, TABLE.get_all("ports")) for each in elements(data)]


def _of_ports(tables: Tables, names: Iterable[bytes]) -> list[tuple[str, bytes]]:
    wanted = set(names)
    return [
        (name, each.key)
        for name in (SETS if wanted else ())
        for data in tables.all(WHAT, TABLE.get_all(name))
        for each in elements(data)
        if each.key[:NAME_BYTES] in wanted
    ]


def _name(key: bytes) -> str:
    return key[:NAME_BYTES].rstrip(b"\0").decode(errors="backslashreplace")


def _remove(tables: Tables, keys: Iterable[tuple[str, bytes]]) -> None:
    """Remove elements at once, or, where some are gone, each for itself."""
    messages = spoofing.removal(keys)
    if not messages or not tables.refusals(WHAT, messages):
        return
    for message in messages:
        refused = tables.refusals(WHAT, [message])
        if any(each.number not in {errno.ENOENT, errno.EOPNOTSUPP, errno.EAFNOSUPPORT} for each in refused.values()):
            raise KernelError(refused[0].number, WHAT, refused[0].reason)


def _remember(owner: Owner, port: Port) -> None:
    with suppress(OSError):
        try:
            _write(owner.mark, port.text)
        except FileNotFoundError:
            os.makedirs(MEMORY, mode=0o700, exist_ok=True)
            _write(owner.mark, port.text)


def _write(mark: str, text: str) -> None:
    descriptor = os.open(os.path.join(MEMORY, mark), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | QUIET, 0o600)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def _recall(mark: str) -> Port | None:
    """Return the port that is remembered under `mark`; None when there is none, or what is there is none."""
    with suppress(OSError, ValueError):
        descriptor = os.open(os.path.join(MEMORY, mark), os.O_RDONLY | QUIET)
        try:
            return ports.read(os.read(descriptor, READ_BYTES).decode())
        finally:
            os.close(descriptor)
    return None


def _remembered() -> Iterator[tuple[str, Port, float]]:
    """Yield the mark of each port that is remembered, the port, and how many seconds ago it was written down."""
    try:
        marks = os.listdir(MEMORY)
    except OSError:
        return
    for mark in marks:
        with suppress(OSError):
            age = time.time() - os.stat(os.path.join(MEMORY, mark), follow_symlinks=False).st_mtime  # noqa: PTH116
            if port := _recall(mark):
                yield mark, port, age


def _forget(mark: str) -> None:
    with suppress(OSError):
        os.unlink(os.path.join(MEMORY, mark))


def _unsupported(code: Code = Code.KERNEL_REFUSED) -> CniError:
    return CniError(
        code,
        '"spoofchk" needs nftables for bridges in the kernel, which this one lacks',
        'boot a kernel with CONFIG_NF_TABLES_BRIDGE, or set "spoofchk": false, which lets containers speak for each other',
    )
