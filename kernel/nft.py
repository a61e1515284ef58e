"""Changes nftables in whole transactions, as the JSON documents of libnftables-json(5).

One transaction is one `nft -j -f -`: it happens wholly or not at all. Values travel as JSON strings, never as text of
nft's language, so a name or comment cannot become a rule. Must not know whose tables these are.
"""

import errno
import json
import re
from collections.abc import Sequence
from typing import Any

from kernel import tools
from kernel.errors import KernelError
from kernel.namespaces import Namespace

PLAIN = re.compile(r"[A-Za-z0-9_ -]+")
TRIAL = {"add": {"table": {"family": "inet", "name": "tulle_trial"}}}


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
    outcome = tools.run(["nft", "-f", "-"], text, namespace)
    if outcome.code != 0:
        raise tools.refusal(outcome, f"adding nftables table {family} {table}")


def listing(family: str, table: str, namespace: Namespace | None = None) -> list[dict[str, Any]]:
    """Return the objects of a table (`{"table": ...}`, `{"chain": ...}`, `{"rule": ...}`) with handles; [] if absent."""
    transaction = [{"list": {"table": {"family": family, "name": table}}}]
    try:
        text = _execute(["-j", "-f", "-"], transaction, f"listing nftables table {family} {table}", namespace)
    except KernelError as error:
        if error.gone:
            return []
        raise
    objects: list[dict[str, Any]] = json.loads(text)["nftables"] if text.strip() else []
    return [each for each in objects if "metainfo" not in each]


def installed() -> bool:
    """Tell whether there is an nft."""
    return tools.find("nft") is not None


def usable(namespace: Namespace | None = None) -> bool:
    """Tell whether nft is installed and the kernel would take a table from us (contract 2.5); changes nothing."""
    return installed() and accepts([TRIAL], namespace)


def accepts(transaction: Sequence[dict[str, Any]], namespace: Namespace | None = None) -> bool:
    """Tell whether a transaction would be carried out, without carrying it out (`nft --check`)."""
    try:
        _execute(["-c", "-j", "-f", "-"], transaction, "checking nftables", namespace)
    except KernelError:
        return False
    return True


def _execute(options: list[str], commands: Sequence[dict[str, Any]], what: str, namespace: Namespace | None) -> str:
    outcome = tools.run(["nft", *options], json.dumps({"nftables": list(commands)}), namespace)
    if outcome.code != 0:
        raise tools.refusal(outcome, what)
    return outcome.stdout
