"""Reads the request -> response pairs of this folder, plays them against any server of requests, and compares.

A file holds `source` (the contract's section), `program` and `vectors`; a vector a `claim`, `exchanges` played in order
over one directory, and perhaps another `program` and `files` (path -> text; scripts are executable). An exchange holds
`environ` (over a complete ADD environment; null removes), `stdin` (JSON) or `text` (as it stands), and `expected`: `exit`,
then `stdout` (a document; absent: nothing) or `error` with `code`, `msg` and `details` (absent: none); `begins` compares beginnings.
`$DIR` is the vector's directory, wherever it stands. Must not know how a request is served: cold, warm or in process.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent

BASE: Mapping[str, str] = {
    "CNI_COMMAND": "ADD",
    "CNI_CONTAINERID": "c0ffee",
    "CNI_NETNS": "/var/run/netns/absent",
    "CNI_IFNAME": "eth0",
    "CNI_PATH": "$DIR",
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
}


@dataclass(frozen=True)
class Answer:
    """What a served request left: exit code, stdout and stderr."""

    status: int
    stdout: str
    stderr: str


Server = Callable[[str, Mapping[str, str], bytes], Answer]
"""Serves one request: program, environment, stdin."""


@dataclass(frozen=True)
class Vector:
    """One claim of one file."""

    source: str
    number: int
    claim: str
    program: str
    files: Mapping[str, str]
    exchanges: tuple[Mapping[str, Any], ...]

    def __str__(self) -> str:
        return f"{self.source}-{self.number}-{self.claim}"


def vectors() -> Iterator[Vector]:
    """Yield every vector of every file, in order."""
    for path in sorted(FOLDER.glob("*.json")):
        document = json.loads(path.read_text())
        for number, each in enumerate(document["vectors"]):
            yield Vector(
                source=path.stem,
                number=number,
                claim=each["claim"],
                program=each.get("program", document["program"]),
                files=each.get("files", {}),
                exchanges=tuple(each["exchanges"]),
            )


def play(vector: Vector, directory: Path, serve: Server) -> None:
    """Send every request of `vector` to `serve` and compare the answers; AssertionError names the exchange."""
    for name, text in vector.files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755 if text.startswith("#!") else 0o600)
    for number, exchange in enumerate(vector.exchanges):
        placed = _placed(exchange, str(directory))
        told = serve(vector.program, _environ(placed, str(directory)), _stdin(placed))
        compare(placed["expected"], told, f"{vector}, exchange {number}")


def compare(expected: Mapping[str, Any], told: Answer, where: str) -> None:
    """Compare an answer with what was expected; AssertionError says where they part."""
    assert told.status == expected["exit"], f"{where}: {told}"
    if "stderr" in expected:
        assert told.stderr.endswith(expected["stderr"]), f"{where}: {told}"
    if "error" not in expected:
        document = json.loads(told.stdout) if told.stdout else None
        assert document == expected.get("stdout"), f"{where}: {told}"
        return
    wanted = dict(expected["error"])
    document = {"details": "", **json.loads(told.stdout)}
    if wanted.pop("begins", False):
        assert document["msg"].startswith(wanted.pop("msg")), f"{where}: {told}"
    else:
        wanted.setdefault("details", "")
    assert {key: document[key] for key in wanted} == wanted, f"{where}: {told}"


def _environ(exchange: Mapping[str, Any], directory: str) -> dict[str, str]:
    merged = {**_placed(BASE, directory), **exchange.get("environ", {})}
    return {name: value for name, value in merged.items() if value is not None}


def _stdin(exchange: Mapping[str, Any]) -> bytes:
    if "stdin" in exchange:
        return json.dumps(exchange["stdin"]).encode()
    return str(exchange.get("text", "")).encode()


def _placed(value: Any, directory: str) -> Any:
    if isinstance(value, str):
        return value.replace("$DIR", directory)
    if isinstance(value, list):
        return [_placed(element, directory) for element in value]
    if isinstance(value, Mapping):
        return {key: _placed(element, directory) for key, element in value.items()}
    return value
