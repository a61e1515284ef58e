"""Puts the table of bridge.spoofchk_table into the kernel, and each port's elements into its sets (key `spoofchk`).

The elements are added before the port exists and removed after it is gone. What a port may send is also written to a
file under /run: when something flushed the table, it is made again for every port that still exists; and DEL need not
search the sets. The files may be lost; that never refuses a container.
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
"""How many times to try again when another program changes the table in the meantime."""
UNDER_WAY = 60.0
"""Seconds. GC keeps a younger file whose port does not exist: ADD may be about to make the port."""
READ_BYTES = 4096
QUIET = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
WHAT = "changing the rules against spoofing"


def admit(owner: AttachmentID, port: Port) -> None:
    """Add the port's elements, before the port exists.

    Raises CniError 100 where the kernel lacks the feature, KernelError for a refusal.

    To be quick, it only checks that the first rule exists, which leads to the others; `mend` checks them all.
    """
    others = _remember(owner, port)
    with _tables() as tables:
        _admit(tables, owner, port, others, lambda: tables.holds(WHAT, spoofchk_table.entrance()) or _is_whole(tables))


def mend(owner: AttachmentID, port: Port) -> None:
    """Add the port's elements and whatever of the table is missing. Raises what `admit` raises."""
    others = _remember(owner, port)
    with _tables() as tables:
        _admit(tables, owner, port, others, lambda: _is_whole(tables))


@contextmanager
def _tables() -> Iterator[Tables]:
    """Yield the handle for tables. Raises CniError 100 with a remedy when the kernel has no tables for bridges."""
    try:
        with Tables() as tables:
            yield tables
    except KernelError as refused:
        if refused.unsupported:
            raise _unsupported() from refused
        raise


def require() -> None:
    """Raise CniError 50 unless the kernel would take the rules. Changes nothing."""
    # The transaction ends with a deletion that cannot succeed: the kernel checks everything and executes nothing.
    wanted = [*spoofchk_table.frame(), TABLE.remove("ports", bytes(NAME_BYTES))]
    with Tables() as tables:
        refused = tables.refusals(WHAT, wanted)
    if any(place != len(wanted) - 1 and refusal.number != errno.EEXIST for place, refusal in refused.items()):
        raise _unsupported(Code.NOT_AVAILABLE)


def stands(port: Port) -> bool:
    """Return whether every rule, and every element of the port, exists."""
    with Tables() as tables:
        return _is_whole(tables) and all(tables.holds(WHAT, TABLE.get(name, key)) for name, key in port.keys)


def dismiss(owner: AttachmentID, *, search: bool) -> None:
    """Remove the elements of an attachment's deleted port; with `search` also elements that no file records."""
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
    """Remove the elements of every port that does not exist any more, on every network.

    `deleted` are ports that the caller has just deleted: their files count as old, however new they are.
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
    """Call `act` with the handle for tables; where the kernel has no such tables, there is nothing to remove."""
    try:
        with Tables() as tables:
            act(tables)
    except KernelError as refused:
        if not refused.unsupported:
            raise


def _losses(port: Port, others: Iterable[Port]) -> list[tuple[str, bytes]]:
    """Return the elements to remove with a port: its own, and its addresses on the container's other ports."""
    before = {key: None for each in spoofchk_ports.together([port, *others]) for key in each.keys}
    after = {key for each in spoofchk_ports.together([*others]) for key in each.keys}
    return [key for key in before if key not in after]


def _admit(
    tables: Tables, owner: AttachmentID, port: Port, others: Sequence[Port], is_whole: Callable[[], bool]
) -> None:
    """Add the elements to the table. A table that is incomplete is made anew, with every port that is known."""
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
            # Rules were flushed: make the table anew; the next round looks whether it is complete.
            tables.refusals(WHAT, [TABLE.delete(), *wanted])
        elif first.number != errno.ENOENT:
            raise KernelError(first.number, WHAT, first.reason)
        elif not whole:  # ENOENT from a new table: the kernel lacks these chains or expressions
            raise KernelError(errno.EOPNOTSUPP, WHAT)
    raise CniError(Code.TRY_AGAIN_LATER, f"{WHAT}: another program changes them at the same time", "try again")


def _left(tables: Tables) -> list[Message]:
    """Return the messages that add the present elements to the new table, including those that no file records."""
    return [
        TABLE.add(name, each.key, each.comment)
        for name in SETS
        for data in tables.all(WHAT, TABLE.get_all(name))
        for each in elements(data)
    ]


def _is_whole(tables: Tables) -> bool:
    return len(tables.all(WHAT, TABLE.get_rules())) == len(spoofchk_table.RULES)


def _standing() -> Iterator[tuple[Port, str]]:
    """Yield every recorded port that still exists, with the comment of its elements."""
    with Handle() as host:
        present = {link.name: owner for link in host.links() if (owner := AttachmentID.signed(link.alias))}
    folders: dict[str, list[Port]] = {}
    for one in _remembered():
        if one.port.name in present:
            folders.setdefault(one.folder, []).append(one.port)
    for remembered in folders.values():
        yield from ((port, present[port.name].comment) for port in spoofchk_ports.together(remembered))


def _listed(tables: Tables) -> list[tuple[bytes, str]]:
    """Return the key and the comment of every element of the set `ports`."""
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
    """Remove the elements in one transaction or, when some are already gone, one by one."""
    messages = spoofchk_table.removal(keys)
    if not messages or not tables.refusals(WHAT, messages):
        return
    for message in messages:
        refused = tables.refusals(WHAT, [message])
        if any(each.number not in {errno.ENOENT, errno.EOPNOTSUPP, errno.EAFNOSUPPORT} for each in refused.values()):
            raise KernelError(refused[0].number, WHAT, refused[0].reason)


@dataclass(frozen=True, slots=True)
class Remembered:
    """A port as a file under /run records it."""

    folder: str  # the container's directory
    mark: str  # name of the file: the attachment's mark
    port: Port
    age: float  # seconds since it was written


def _folder(owner: AttachmentID) -> str:
    return os.path.join(MEMORY, shortened(owner.container_id, ID_BYTES))


def _remember(owner: AttachmentID, port: Port) -> list[Port]:
    """Record the port in a file, and return the container's other recorded ports."""
    folder = _folder(owner)
    with suppress(OSError):
        # A directory that did not exist holds no other port, so it need not be read.
        if _makes(folder):
            _write(folder, owner.mark, port.text)
            return []
        _write(folder, owner.mark, port.text)
    return [each for mark, each in _recall(owner).items() if mark != owner.mark]


def _makes(folder: str) -> bool:
    """Make a container's directory and return whether there was none. Raises OSError."""
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
    """Return the recorded ports of the container, by the mark of their attachment."""
    return {one.mark: one.port for one in _in_folder(_folder(owner))}


def _remembered() -> Iterator[Remembered]:
    """Yield every recorded port."""
    with suppress(OSError):
        for name in os.listdir(MEMORY):
            yield from _in_folder(os.path.join(MEMORY, name))


def _in_folder(folder: str) -> Iterator[Remembered]:
    """Yield the recorded ports of one container; a file that is not one is skipped."""
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
    """Delete the file of a port, and the container's directory with the last file."""
    with suppress(OSError):
        os.unlink(os.path.join(folder, mark))
        os.rmdir(folder)


def _unsupported(code: Code = Code.KERNEL_REFUSED) -> CniError:
    return CniError(
        code,
        '"spoofchk" needs nftables for bridges in the kernel, which this one lacks',
        'boot a kernel with CONFIG_NF_TABLES_BRIDGE, or set "spoofchk": false, which lets containers speak for each other',
    )
