"""Changes nftables in whole transactions, as the JSON documents of libnftables-json(5).

One transaction is one `nft -j -f -`: all of it happens, or nothing. Whether a table exists is asked of the kernel
directly (NFT_MSG_GETTABLE, linux/netfilter/nf_tables.h), because starting a program takes long. Values are JSON
strings, never text of nft's language, so a name or comment cannot become a rule.
"""

import errno
import json
import re
import struct
from collections.abc import Sequence
from typing import Any

from kernel import spawn
from kernel.errors import KernelError
from kernel.netlink.message import ATTRIBUTE, HEADER
from kernel.netlink.transport import Message, NetlinkError, Transport
from kernel.netns import Namespace

PLAIN = re.compile(r"[A-Za-z0-9_ -]+")
TRIAL = {"add": {"table": {"family": "inet", "name": "tulle_trial"}}}

NETLINK_NETFILTER = 12
GET_TABLE = 10 << 8 | 1  # NFNL_SUBSYS_NFTABLES, NFT_MSG_GETTABLE
NLM_F_REQUEST = 0x1
NFTA_TABLE_NAME = 1
NFGENMSG = struct.Struct("=BBH")  # family, version, resource id (big endian, 0)
FAMILIES = {"inet": 1, "ip": 2, "arp": 3, "netdev": 5, "bridge": 7, "ip6": 10}


def run(transaction: Sequence[dict[str, Any]], namespace: Namespace | None = None) -> None:
    """Carry out a list of commands (`{"add": {"rule": ...}}`, ...) at once; nothing is done for an empty one.

    Raises KernelError with nft's first line; `gone` when what is to be deleted or extended is not there, `exists` for a
    `create` of what is.
    """
    if transaction:
        _execute(["-j", "-f", "-"], transaction, "changing nftables", namespace)


def add_table(family: str, table: str, comment: str, namespace: Namespace | None = None) -> None:
    """Have a table with a comment, which the JSON of nft before 1.1 cannot say; an existing table stays as it is.

    Raises KernelError, EINVAL for words that are not plain.
    """
    if not PLAIN.fullmatch(f"{family} {table} {comment}"):
        raise KernelError(errno.EINVAL, f"adding nftables table {family} {table}", "not expressible")
    text = f'add table {family} {table} {{ comment "{comment}" ; }}'
    outcome = spawn.run(["nft", "-f", "-"], text, namespace)
    if outcome.code != 0:
        raise spawn.error_from(outcome, f"adding nftables table {family} {table}")


def load(text: str, namespace: Namespace | None = None) -> None:
    """Carry out commands in nft's own language at once: for what its JSON cannot say (sets `typeof` parts of a packet).

    The caller answers for every word in it. Raises KernelError as `run` does.
    """
    outcome = spawn.run(["nft", "-f", "-"], text, namespace)
    if outcome.code != 0:
        raise spawn.error_from(outcome, "changing nftables")


def exists(family: str, table: str, namespace: Namespace | None = None) -> bool:
    """Return whether there is such a table, without a program; where the kernel has no nftables there is none."""
    return isinstance(_ask(family, table, namespace), Message)


def listing(family: str, table: str, namespace: Namespace | None = None) -> list[dict[str, Any]]:
    """Return the objects of a table (`{"table": ...}`, `{"chain": ...}`, `{"rule": ...}`) with handles; [] if absent."""
    if _absent(family, table, namespace):
        return []
    try:
        return _list({"table": {"family": family, "name": table}}, namespace)
    except KernelError as error:
        if error.gone:
            return []
        raise


def counters(family: str, table: str, namespace: Namespace | None = None) -> dict[str, int]:
    """Return the packets each counter of a table has counted, without listing the rest of it; raises KernelError."""
    found = _list({"counters": {"family": family, "table": table}}, namespace)
    return {one["counter"]["name"]: one["counter"]["packets"] for one in found if "counter" in one}


def elements(family: str, table: str, name: str, namespace: Namespace | None = None) -> list[Any]:
    """Return the elements of one set as nft lists them; raises KernelError."""
    found = _list({"set": {"family": family, "table": table, "name": name}}, namespace)
    return [element for one in found for element in one.get("set", {}).get("elem", ())]


def _list(what: dict[str, Any], namespace: Namespace | None) -> list[dict[str, Any]]:
    """List one thing: nft 1.0.6 mistakes what it knows of a table when it is asked for a second one."""
    text = _execute(["-j", "-f", "-"], [{"list": what}], "reading nftables", namespace)
    objects: list[dict[str, Any]] = json.loads(text)["nftables"] if text.strip() else []
    return [each for each in objects if "metainfo" not in each]


def _absent(family: str, table: str, namespace: Namespace | None) -> bool:
    """Return whether the kernel knows for certain that there is no such table; whatever else it says is nft's to explain."""
    answer = _ask(family, table, namespace)
    return isinstance(answer, NetlinkError) and answer.number == errno.ENOENT


def _ask(family: str, table: str, namespace: Namespace | None) -> Message | NetlinkError | None:
    """Ask the kernel for a table; None where it could not be asked."""
    name = table.encode() + b"\0"
    attribute = ATTRIBUTE.pack(ATTRIBUTE.size + len(name), NFTA_TABLE_NAME) + name + bytes(-len(name) % 4)
    body = NFGENMSG.pack(FAMILIES[family], 0, 0) + attribute
    try:
        sock = Transport(namespace, NETLINK_NETFILTER)
        try:
            return sock.ask(bytearray(HEADER.pack(HEADER.size + len(body), GET_TABLE, NLM_F_REQUEST, 0, 0) + body))
        finally:
            sock.close()
    except OSError:
        return None


def installed() -> bool:
    """Return whether there is an nft."""
    return spawn.find("nft") is not None


def usable(namespace: Namespace | None = None) -> bool:
    """Return whether nft is installed and the kernel would take a table from us (docs/reference/cni.md 2.5); changes nothing."""
    return installed() and accepts([TRIAL], namespace)


def accepts(transaction: Sequence[dict[str, Any]], namespace: Namespace | None = None) -> bool:
    """Return whether a transaction would be carried out, without carrying it out (`nft --check`)."""
    try:
        _execute(["-c", "-j", "-f", "-"], transaction, "checking nftables", namespace)
    except KernelError:
        return False
    return True


def _execute(options: list[str], commands: Sequence[dict[str, Any]], what: str, namespace: Namespace | None) -> str:
    outcome = spawn.run(["nft", *options], json.dumps({"nftables": list(commands)}), namespace)
    if outcome.code != 0:
        raise spawn.error_from(outcome, what)
    return outcome.stdout
