"""Times our programs beside the reference ones in private namespaces, and prints medians, p95 and ratios.

The calls of the two sides alternate, because a noisy machine changes times but hardly their ratio. An agent of the
bench's own serves the warm calls, and the bench fails if it did not. What a side has no program for is left out, and
named. The reference is whatever the directory REFERENCE contains.

    python -m bench [--rounds N] [--reference DIR] [--ours DIR] [--json FILE] [--only WORDS]
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory

from bench import report, warm
from bench.calls import Asked, RefusedError, Side, call
from bench.containers import containers
from bench.report import Row
from bench.scenarios import PLAIN, Bench, Scenario, network, scenarios

ROOT = Path(__file__).resolve().parent.parent
INSIDE = "TULLE_BENCH_FOLDER"
"""Names the directory of a bench that is inside its own namespaces already."""
NEEDED = ("bridge", "host-local")
"""The programs that both sides must have, or there is nothing to compare."""
FEW = 4
"""Workers of the agent whose memory is measured."""

PAIRS = 40
"""ADDs and DELs over which processor time is counted."""


def main() -> int:
    """Run every scenario and print the table.

    Return 1 when a warm call was not, or a program failed; 2 without programs.
    """
    options = _options()
    if unusable := _unusable(options):
        print(f"bench: {unusable}", file=sys.stderr)
        return 2
    if INSIDE not in os.environ:
        return _again_inside()
    command = options.ours.parent / "bin" / "tulle"
    try:
        folder = Path(os.environ[INSIDE])
        ready = warm.agent(command, folder) if warm.exists(command) else nullcontext()
        with ready as agent:
            rows = list(_rows(options, folder, agent))
            costs = list(_costs(options, folder, agent))
    except (RefusedError, warm.ServedColdError) as failure:
        print(f"bench: {failure}", file=sys.stderr)
        return 1
    print(report.table(rows), *_left_out(options), *costs, sep="\n")
    if options.json:
        report.write(rows, options.json)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="time the programs beside the reference ones")
    parser.add_argument(
        "--rounds", type=int, default=25, help="calls of each program per scenario (default %(default)s)"
    )
    parser.add_argument("--reference", type=Path, default=Path("/usr/lib/cni"), help="default %(default)s")
    parser.add_argument("--ours", type=Path, default=ROOT / "dist" / "cni", help="default %(default)s")
    parser.add_argument("--json", type=Path, help="also write a list of {scenario, ours_ms, reference_ms, ratio}")
    parser.add_argument("--only", default="", help="only scenarios whose name holds these words")
    return parser.parse_args()


def _unusable(options: argparse.Namespace) -> str:
    """Return why there is nothing to compare, and what to do; empty when there is something."""
    remedies = {
        options.ours: "`make build` makes it",
        options.reference: "name a directory of the reference's programs with REFERENCE=DIR; Debian's is containernetworking-plugins",
    }
    for plugins, remedy in remedies.items():
        if not plugins.is_dir():
            return f"{plugins} is no directory: {remedy}"
        if lacking := Side("", plugins, {}).lacks(*NEEDED):
            return f"{lacking}: {remedy}"
    return ""


def _again_inside() -> int:
    """Start this program again in network and mount namespaces of its own, and remove its directory afterwards."""
    command = ["unshare", "--net", "--mount", "--propagation", "private", sys.executable, "-m", "bench", *sys.argv[1:]]
    with TemporaryDirectory(prefix="tulle-bench-") as folder:
        return subprocess.run(command, env={**os.environ, INSIDE: folder}, check=False).returncode


def _sides(options: argparse.Namespace, agent: warm.Agent | None, *, served_warm: bool) -> tuple[Side, Side]:
    socket = str(agent.socket) if agent and served_warm else ""
    return Side("ours", options.ours, {"TULLE_AGENT": socket}), Side("ref", options.reference, {})


def _left_out(options: argparse.Namespace) -> Iterator[str]:
    """Return which of the wanted scenarios are not run, and why."""
    for scenario in scenarios():
        if options.only in scenario.name and (lacking := _lacking(options, scenario)):
            yield f"left out: {scenario.name}: {lacking}"


def _lacking(options: argparse.Namespace, scenario: Scenario) -> str:
    """Return which programs a side lacks for the scenario; empty when both have them all."""
    sides = _sides(options, None, served_warm=False)
    return "; ".join(lacking for side in sides if (lacking := side.lacks(*scenario.needs)))


def _rows(options: argparse.Namespace, folder: Path, agent: warm.Agent | None) -> Iterator[Row]:
    (folder / "netns").mkdir()
    bench = Bench(containers(folder / "netns"), folder)
    for scenario in scenarios():
        if options.only in scenario.name and not _lacking(options, scenario):
            print(f"bench: {scenario.name} ...", file=sys.stderr, flush=True)
            ours, reference = _sides(options, agent, served_warm=scenario.warm)
            before = agent.counts() if agent else None
            rounds = max(5, options.rounds // scenario.share)
            yield from _compared(scenario, bench, ours, reference, rounds)
            if agent and before and scenario.warm:
                agent.insist_on(before, scenario.calls * (rounds + 1), scenario.name)


def _compared(scenario: Scenario, bench: Bench, ours: Side, reference: Side, rounds: int) -> list[Row]:
    """Run a scenario on both sides in turn, once without measuring; only on ours if the reference cannot do it."""
    why = _unknown(scenario, reference)
    times: dict[str, tuple[list[float], list[float]]] = {}
    for number in range(rounds + 1):
        steps = scenario.run(bench, ours, number)
        theirs = {} if why else scenario.run(bench, reference, number)
        if number:
            for step, taken in steps.items():
                mine, others = times.setdefault(step, ([], []))
                mine.append(taken)
                others.extend([theirs[step]] if step in theirs else [])
    return [Row(f"{scenario.name} {step}".strip(), *each, why) for step, each in times.items()]


def _unknown(scenario: Scenario, reference: Side) -> str:
    """Return, as text, the key that the reference does not know; empty when it can take part."""
    if scenario.key.encode() not in (reference.plugins / scenario.needs[0]).read_bytes():
        return f"the reference knows no {scenario.key}"
    return ""


def _costs(options: argparse.Namespace, folder: Path, agent: warm.Agent | None) -> Iterator[str]:
    """Print what an ADD and its DEL cost in processor time, and what the agent costs in memory."""
    (folder / "costs").mkdir()
    bench = Bench(containers(folder / "costs"), folder)
    ours, reference = _sides(options, agent, served_warm=True)
    before = agent.processor() if agent else 0.0
    spent = _processor(bench, ours)
    if agent:
        spent += (agent.processor() - before) / PAIRS
    yield f"\nprocessor time of an ADD with its DEL: ours {spent:.1f} ms, reference {_processor(bench, reference):.1f} ms"
    if agent:
        yield _memory(options, folder)
    else:
        yield "no agent in this build: everything was served cold"


def _memory(options: argparse.Namespace, folder: Path) -> str:
    """Print the memory of an agent with a few workers, after each of them has served some requests."""
    (folder / "small").mkdir()
    bench = Bench(containers(folder / "small"), folder)
    with warm.agent(options.ours.parent / "bin" / "tulle", folder / "small", FEW) as agent:
        _processor(bench, _sides(options, agent, served_warm=True)[0])
        return f"agent with {FEW} workers: {agent.memory():.0f} MiB proportional set size"


def _processor(bench: Bench, side: Side) -> float:
    """Return the processor time in ms of the programs of one ADD and DEL, on average."""
    config = network(bench, side, {}, PLAIN)
    spent = 0.0
    for _ in range(PAIRS):
        container = next(bench.containers)
        added = call(side, Asked("bridge", "ADD", container, config))
        deleted = call(side, Asked("bridge", "DEL", container, {**config, "prevResult": added.document}))
        spent += added.processor + deleted.processor
    return spent / PAIRS


if __name__ == "__main__":
    sys.exit(main())
