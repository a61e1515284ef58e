"""Times ADD, CHECK and DEL of bridge with host-local in a warm interpreter, without launcher and agent.

With --beside, another checkout does the same in an interpreter of its own, in alternate calls and the same private
namespaces. It prints wall time and processor time in ms: the median, and the longest of the quickest fifth, which a
busy machine changes least. Twenty containers are used again and again, so this is a host with few namespaces.

    python -m bench.interpreter [--rounds N] [--beside CHECKOUT] [--only WORDS]
"""

import argparse
import io
import itertools
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
INSIDE = "TULLE_BENCH_FOLDER"
"""Names the directory of a bench that is inside its own namespaces already."""
STOCK = 20
"""Number of containers, which are used again and again."""
UNMEASURED = 3
VERBS = ("ADD", "CHECK", "DEL")

Document = dict[str, Any]
FOUR, SIX = [{"subnet": "10.99.0.0/16"}], [{"subnet": "fd00:99::/64"}]
SCENARIOS: dict[str, Document] = {
    "plain": {"ranges": [FOUR]},
    "dual stack": {"ranges": [FOUR, SIX]},
    "ipMasq by iptables": {"ranges": [FOUR], "masquerade": "iptables"},
    "ipMasq by nftables": {"ranges": [FOUR], "masquerade": "nftables"},
}


@dataclass(frozen=True, slots=True)
class Told:
    """What one call took."""

    wall: float  # ms
    processor: float  # ms on a processor
    document: Document  # its result


class Interpreter:
    """A warm interpreter of one checkout, which is asked over its standard streams."""

    def __init__(self, checkout: Path, plugins: Path) -> None:
        own = checkout / ".venv" / "bin" / "python"
        python = str(own) if own.exists() else sys.executable
        command = [python, __file__, "--serve", str(checkout), str(plugins)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd="/")

    def ask(self, verb: str, container: Path, config: Document) -> Told:
        """Serve one request, and return what it took."""
        if self._process.stdin is None or self._process.stdout is None:
            raise AssertionError("both are pipes")
        self._process.stdin.write(json.dumps([verb, str(container), config]) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise SystemExit(f"bench: {verb} failed: what it said stands above")
        return Told(*json.loads(answer))

    def end(self) -> None:
        """End it."""
        self._process.communicate()


def main() -> int:
    """Compare, and print the table."""
    if sys.argv[1:2] == ["--serve"]:
        return _serve(Path(sys.argv[2]), sys.argv[3])
    options = _options()
    if INSIDE not in os.environ:
        return _again_inside()
    folder = Path(os.environ[INSIDE])
    subprocess.run(["mount", "-t", "tmpfs", "none", "/run"], check=True)
    plugins = _plugins(folder)
    checkouts = [ROOT, *([options.beside.resolve()] if options.beside else [])]
    interpreters = [Interpreter(checkout, plugins) for checkout in checkouts]
    stock = _stock(folder / "netns")
    print(f"{'':<32}" + "".join(f"{str(checkout)[-30:]:>34}" for checkout in checkouts))
    for name, wanted in SCENARIOS.items():
        if options.only in name:
            for verb, line in _compared(interpreters, _config(folder, wanted), stock, options.rounds):
                print(f"{name:<24}{verb:<8}{line}", flush=True)
    for interpreter in interpreters:
        interpreter.end()
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="time the verbs in a warm interpreter")
    parser.add_argument("--rounds", type=int, default=100, help="calls of each verb (default %(default)s)")
    parser.add_argument(
        "--beside", type=Path, help="another checkout, with an environment of its own or for this one's"
    )
    parser.add_argument("--only", default="", help="only scenarios whose name holds these words")
    return parser.parse_args()


def _again_inside() -> int:
    """Start this program again in network and mount namespaces of its own, and remove its directory afterwards."""
    command = ["unshare", "--net", "--mount", "--propagation", "private", sys.executable, "-m", "bench.interpreter"]
    with TemporaryDirectory(prefix="tulle-bench-") as folder:
        environ = {**os.environ, INSIDE: folder}
        return subprocess.run([*command, *sys.argv[1:]], env=environ, check=False, cwd=ROOT).returncode


def _plugins(folder: Path) -> Path:
    """Return a plugin directory with all programs of this build.

    They only have to exist: nothing is executed from it.
    """
    (folder / "lib").mkdir()
    (folder / "cni").mkdir()
    for name in ("tulle", "launcher"):
        (folder / "lib" / name).touch()
    for name in ("bridge", "host-local"):
        (folder / "cni" / name).symlink_to(folder / "lib" / "launcher")
    return folder / "cni"


def _stock(folder: Path) -> Iterator[Path]:
    from bench.containers import containers  # noqa: PLC0415 - an interpreter that serves has another checkout's path

    folder.mkdir()
    return itertools.cycle(list(itertools.islice(containers(folder), STOCK)))


def _config(folder: Path, wanted: Document) -> Document:
    """Return a network's configuration; each interpreter completes the name."""
    backend = wanted.get("masquerade", "")
    masquerade = {"ipMasq": True, "ipMasqBackend": backend} if backend else {}
    ipam = {"type": "host-local", "dataDir": str(folder / "books"), "ranges": wanted["ranges"]}
    return {"cniVersion": "1.0.0", "type": "bridge", "isDefaultGateway": True, "ipam": ipam, **masquerade}


def _compared(
    interpreters: list[Interpreter], config: Document, stock: Iterator[Path], rounds: int
) -> Iterator[tuple[str, str]]:
    """Yield one line per verb."""
    taken: dict[tuple[str, int], list[Told]] = {
        (verb, place): [] for verb in VERBS for place in range(len(interpreters))
    }
    for number in range(rounds + UNMEASURED):
        for place, interpreter in enumerate(interpreters):
            own, container = {**config, "name": f"bench{place}", "bridge": f"bench{place}"}, next(stock)
            for verb in VERBS:
                told = interpreter.ask(verb, container, own)
                if verb == "ADD":
                    own["prevResult"] = told.document
                if number >= UNMEASURED:
                    taken[verb, place].append(told)
    for verb in VERBS:
        yield verb, "".join(_figures(taken[verb, place]) for place in range(len(interpreters)))


def _figures(told: list[Told]) -> str:
    walls = sorted(each.wall for each in told)
    processor = statistics.median(each.processor for each in told)
    return f"{statistics.median(walls):>14.2f}{walls[len(walls) // 5]:>10.2f}{processor:>10.2f}"


def _serve(checkout: Path, plugins: str) -> int:
    """Serve requests with the code of `checkout`, after importing everything."""
    sys.path[0] = str(checkout)
    from agent import catalogue, preload  # noqa: PLC0415 - whose they are is known only now
    from cni import skel  # noqa: PLC0415 - as above
    from kernel import deferred  # noqa: PLC0415 - as above

    preload.import_everything()
    in_process = catalogue.in_process(Path(plugins).parent / "lib")
    for line in sys.stdin:
        verb, container, config = json.loads(line)
        environ = {"CNI_COMMAND": verb, "CNI_CONTAINERID": Path(container).name, "CNI_NETNS": container}
        environ |= {"CNI_IFNAME": "eth0", "CNI_PATH": plugins}
        printed, stdin = io.BytesIO(), io.BytesIO(json.dumps(config).encode())
        stdout = io.TextIOWrapper(printed, "ascii", write_through=True)
        began, spent = time.perf_counter(), time.process_time()
        status = skel.run(
            catalogue.PROGRAMS["bridge"],
            environ=environ,
            stdin=stdin,
            stdout=stdout,
            stderr=sys.stderr,
            in_process=in_process,
        )
        wall, processor = time.perf_counter() - began, time.process_time() - spent
        deferred.drain()
        if status:
            sys.stderr.write(printed.getvalue().decode())
            return 1
        print(json.dumps([wall * 1000, processor * 1000, json.loads(printed.getvalue() or "{}")]), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
