"""Runs random configurations on ours and on the reference side by side: `python -m tests.differential --release 1.9.1 --examples 2000`.

Every case is run four ways: each side alone, and each side going on with what the other attached. Ends with 0 when nothing differed but
what tests/differential/known.py lists, and with 1 and the smallest case that differed otherwise. Covers the machine's /run and /var/lib/cni
with mounts of its own, so it leaves nothing behind; needs root and the built programs.
"""

import argparse
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.differential.cases import RESOLV_CONF, RESOLVER, Case, cases
from tests.differential.compare import differences
from tests.differential.sides import Side, run
from tests.lab.daemon import DIST, ROOT
from tests.lab.warm import agent

REFERENCES = {"1.1.1": Path("/usr/lib/cni"), "1.9.1": ROOT / ".reference" / "bin"}
COVERED = 'mount -t tmpfs -o mode=755 tmpfs /run && mount -t tmpfs -o mode=755 tmpfs /var/lib && mkdir /var/lib/cni && exec "$0" "$@"'


def main() -> int:
    """Return 0 when no case differed."""
    parser = argparse.ArgumentParser(prog="python -m tests.differential", description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--release", choices=REFERENCES, default="1.9.1", help="the reference's release (default %(default)s)"
    )
    parser.add_argument("--examples", type=int, default=200, help="how many cases (default %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="what to draw them from (default %(default)s)")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not options.inside:
        command = ["unshare", "--mount", "--propagation=private", "sh", "-c", COVERED, sys.executable]
        return subprocess.run([*command, "-m", "tests.differential", *sys.argv[1:], "--inside"], check=False).returncode
    Path(RESOLV_CONF).write_text(RESOLVER)
    reference = Side("reference", REFERENCES[options.release], {})
    with agent(Path("/run"), "--workers", "2") as running:
        ours = Side("ours", DIST / "cni", {"TULLE_AGENT": str(running.path)})
        return compare_all(options, reference, ours)


@dataclass
class Found:
    """One kind of difference: how often it was met, and the smallest case that showed it."""

    smallest: Case
    where: str
    line: str
    times: int = 1


def compare_all(options: argparse.Namespace, reference: Side, ours: Side) -> int:
    """Draw cases and compare them; print each kind of difference with its smallest case, and how many cases there were."""
    done, started = 0, time.monotonic()
    kinds: dict[str, Found] = {}

    @seed(options.seed)
    @settings(
        max_examples=options.examples,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    @given(cases(options.release))
    def each(case: Case) -> None:
        nonlocal done
        done += 1
        if sys.stderr.isatty():
            print(f"\r{done} of {options.examples}", end="", file=sys.stderr)
        wanted = run(case, reference, reference)
        for adds, goes_on in ((ours, ours), (reference, ours), (ours, reference)):
            going_back = (adds, goes_on) == (ours, reference)
            for line in differences(wanted, run(case, adds, goes_on), going_back=going_back):
                where = f"ADD by {adds.name}, CHECK and DEL by {goes_on.name}"
                seen = kinds.setdefault(re.sub(r"[0-9]+", "N", line), Found(case, where, line, 0))
                seen.times += 1
                if len(repr(case)) < len(repr(seen.smallest)):
                    seen.smallest, seen.where, seen.line = case, where, line

    each()
    for seen in sorted(kinds.values(), key=lambda one: -one.times):
        print(f"{seen.times} times, {seen.where}: {seen.line}\n    {seen.smallest}")
    took = time.monotonic() - started
    print(
        f"differential: {options.release}: {done} cases, {len(kinds)} kinds of difference that are not listed, {took:.0f} s"
        f" (seed {options.seed})"
    )
    return 1 if kinds else 0


if __name__ == "__main__":
    os.environ.pop("TULLE_AGENT", None)
    raise SystemExit(main())
