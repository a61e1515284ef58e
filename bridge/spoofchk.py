"""Keeps the rules of bridge.spoofchk_table in the kernel and each port's elements in their sets: before the port is there, until it is gone.

What a port may send is written down under /run as well: whoever finds the table flushed makes it again with all ports that are
still there, and DEL need not search the sets. That memory may be lost, and refuses nothing.
"""
# pathlib costs milliseconds that every container's start would pay:
# ruff: noqa: PTH102, PTH106, PTH108, PTH118, PTH208

import errno
import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from bridge import spoofchk_ports, spoofchk_table
from bridge.spoofchk_ports import NAME_BYTES, Port
from bridge.spoofchk_table import SETS, TABLE
from cni.attachment_id import ID_BYTES, AttachmentID, shortened
from cni.errors import CniError, Code
from kernel.errors import KernelError
from kernel.netlink.handle import Handle
from kernel.netlink.nf_tables import Message, Tables, elements
from system import folders

MEMORY = "/run/tulle/spoofchk"
ATTEMPTS = 3
"""How often another program may change the table while it is made."""
UNDER_WAY = 60.0
"""Seconds for which GC leaves alone what was remembered for a port that is not there: perhaps it is just being made."""
READ_BYTES = 4096
QUIET = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
WHAT = "changing the rules against spoofing"


def admit(owner: AttachmentID, port: Port) -> None:
    """Have the port judged from its first frame on. Raises CniError 100 where the kernel cannot, KernelError for what it refuses.

    That the way into the rules stands is looked at; `mend` looks at each.
    """
    others = _remember(owner, port)
    with _tables() as tables:
        _admit(tables, owner, port, others, lambda: tables.holds(WHAT, spoofchk_table.entrance()) or _is_whole(tables))


def mend(owner: AttachmentID, port: Port) -> None:
    """Have the port judged again, by every rule, whatever was flushed. Raises what `admit` raises."""
    others = _remember(owner, port)
    with _tables() as tables:
        _admit(tables, owner, port, others, lambda: _is_whole(tables))


@contextmanager
def _tables() -> Iterator[Tables]:
    """Open the tables; whatever says that the kernel has no such rules is told with the way out."""
    try:
        with Tables() as tables:
            yield tables
    except KernelError as refused:
        if refused.unsupported:
            raise _unsupported() from refused
        raise


def require() -> None:
    """Raise CniError 50 unless the kernel would take the rules; changes nothing: the transaction asks for one thing too many."""
    wanted = [*spoofchk_table.frame(), TABLE.remove("ports", bytes(NAME_BYTES))]
    with Tables() as tables:
        refused = tables.refusals(WHAT, wanted)
    if any(place != len(wanted) - 1 and refusal.number != errno.EEXIST for place, refusal in refused.items()):
        raise _unsupported(Code.NOT_AVAILABLE)


def stands(port: Port) -> bool:
    """Tell whether every rule and every element of the port is there."""
    with Tables() as tables:
        return _is_whole(tables) and all(tables.holds(WHAT, TABLE.get(name, key)) for name, key in port.keys)


def dismiss(owner: AttachmentID, *, search: bool) -> None:
    """Remove the elements of an attachment's port, which is gone; with `search` also those that nothing remembers."""
    others = _recall(owner)
    port = others.pop(owner.mark, None)
    if port is None and not search:
        return
    losses = _losses(port, others.values()) if port else []

    def remove(tables: Tables) -> None:
        if not losses or tables.refusals(WHAT, spoofchk_table.removal(losses)):
            _remove(tables, losses)
            _remove(
                tables, _of_ports(tables, {key for key, comment in _listed(tables) if comment.startswith(owner.mark)})
            )

    _where_there_are_tables(remove)
    _forget(_folder(owner), owner.mark)


def dismiss_orphans(deleted: Collection[str] = ()) -> None:
    """Remove the elements of every port that is gone, whatever network it was of: nobody can send through it any more.

    `deleted` are ports that the caller has just deleted: those are not being made, however new they were.
    """

    def remove(tables: Tables) -> None:
        with Handle() as host:
            listed, remembered = _listed(tables), list(_remembered())
            present = {link.name for link in host.links()}  # read last: elements are there before their port is
        present |= {one.port.name for one in remembered if one.age < UNDER_WAY and one.port.name not in deleted}
        dead = [one for one in remembered if one.port.name not in present]
        for one in dead:
            _remove(
                tables,
                _losses(one.port, [each.port for each in remembered if each.folder == one.folder and each not in dead]),
            )
        _remove(tables, _of_ports(tables, {key for key, _ in listed if _name(key) not in present}))
        for one in dead:
            _forget(one.folder, one.mark)

    _where_there_are_tables(remove)


def _where_there_are_tables(act: Callable[[Tables], None]) -> None:
    """Do something with the tables; where the kernel has none there is nothing to remove."""
    try:
        with Tables() as tables:
            act(tables)
    except KernelError as refused:
        if not refused.unsupported:
            raise


def _losses(port: Port, others: Iterable[Port]) -> list[tuple[str, bytes]]:
    """Return the elements that go with a port: its own, and its addresses on the container's other ports."""
    before = {key: None for each in spoofchk_ports.together([port, *others]) for key in each.keys}
    after = {key for each in spoofchk_ports.together([*others]) for key in each.keys}
    return [key for key in before if key not in after]


def _admit(
    tables: Tables, owner: AttachmentID, port: Port, others: Sequence[Port], is_whole: Callable[[], bool]
) -> None:
    """Add to the table that stands; one that is not whole is made anew with every port that is known."""
    judged = spoofchk_ports.together([port, *others])
    own = spoofchk_table.admission([(judged[0], owner.comment)])
    further = [TABLE.add(into, key) for each in judged[1:] for into, key in each.keys if into != "ports"]
    for _ in range(ATTEMPTS):
        whole = is_whole()
        wanted = (
            [*own, *further]
            if whole
            else [*spoofchk_table.frame(), *_left(tables), *spoofchk_table.admission(_standing()), *own]
        )
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
        elif not whole:  # what a table is made of is there, unless the kernel has no such chains or expressions
            raise KernelError(errno.EOPNOTSUPP, WHAT)
    raise CniError(Code.TRY_AGAIN_LATER, f"{WHAT}: another program changes them at the same time", "try again")


def _left(tables: Tables) -> list[Message]:
    """Return what puts the elements of a table that is made anew back, also those that nothing remembers."""
    return [
        TABLE.add(name, each.key, each.comment)
        for name in SETS
        for data in tables.all(WHAT, TABLE.get_all(name))
        for each in elements(data)
    ]


def _is_whole(tables: Tables) -> bool:
    return len(tables.all(WHAT, TABLE.get_rules())) == len(spoofchk_table.RULES)


def _standing() -> Iterator[tuple[Port, str]]:
    """Yield every port that is remembered and still there, as it is judged."""
    with Handle() as host:
        present = {link.name: owner for link in host.links() if (owner := AttachmentID.signed(link.alias))}
    folders: dict[str, list[Port]] = {}
    for one in _remembered():
        if one.port.name in present:
            folders.setdefault(one.folder, []).append(one.port)
    for remembered in folders.values():
        yield from ((port, present[port.name].comment) for port in spoofchk_ports.together(remembered))


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
    messages = spoofchk_table.removal(keys)
    if not messages or not tables.refusals(WHAT, messages):
        return
    for message in messages:
        refused = tables.refusals(WHAT, [message])
        if any(each.number not in {errno.ENOENT, errno.EOPNOTSUPP, errno.EAFNOSUPPORT} for each in refused.values()):
            raise KernelError(refused[0].number, WHAT, refused[0].reason)


@dataclass(frozen=True, slots=True)
class Remembered:
    """A port as it was written down `age` seconds ago, in its container's folder under its attachment's mark."""

    folder: str
    mark: str
    port: Port
    age: float


def _folder(owner: AttachmentID) -> str:
    return os.path.join(MEMORY, shortened(owner.container_id, ID_BYTES))


def _remember(owner: AttachmentID, port: Port) -> list[Port]:
    """Write the port down, and return the container's other ones, which a container that was not known has not."""
    folder = _folder(owner)
    with suppress(OSError):
        if _makes(folder):
            _write(folder, owner.mark, port.text)
            return []
        _write(folder, owner.mark, port.text)
    return [each for mark, each in _recall(owner).items() if mark != owner.mark]


def _makes(folder: str) -> bool:
    """Make a container's folder and tell whether there was none. Raises OSError."""
    try:
        os.mkdir(folder, 0o700)
    except FileExistsError:
        return False
    except FileNotFoundError:
        folders.make(folder, 0o700)
    return True


def _write(folder: str, mark: str, text: str) -> None:
    descriptor = os.open(os.path.join(folder, mark), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | QUIET, 0o600)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def _recall(owner: AttachmentID) -> dict[str, Port]:
    """Return what is remembered of the container's ports, by the marks of their attachments."""
    return {one.mark: one.port for one in _in_folder(_folder(owner))}


def _remembered() -> Iterator[Remembered]:
    """Yield every port that is remembered."""
    with suppress(OSError):
        for name in os.listdir(MEMORY):
            yield from _in_folder(os.path.join(MEMORY, name))


def _in_folder(folder: str) -> Iterator[Remembered]:
    """Yield the ports of one container; what is no port is none."""
    with suppress(OSError):
        for mark in os.listdir(folder):
            with suppress(OSError, ValueError):
                descriptor = os.open(os.path.join(folder, mark), os.O_RDONLY | QUIET)
                try:
                    age = time.time() - os.fstat(descriptor).st_mtime
                    yield Remembered(folder, mark, spoofchk_ports.read(os.read(descriptor, READ_BYTES).decode()), age)
                finally:
                    os.close(descriptor)


def _forget(folder: str, mark: str) -> None:
    """Forget a port, and with the last one its container."""
    with suppress(OSError):
        os.unlink(os.path.join(folder, mark))
        os.rmdir(folder)


def _unsupported(code: Code = Code.KERNEL_REFUSED) -> CniError:
    return CniError(
        code,
        '"spoofchk" needs nftables for bridges in the kernel, which this one lacks',
        'boot a kernel with CONFIG_NF_TABLES_BRIDGE, or set "spoofchk": false, which lets containers speak for each other',
    )
