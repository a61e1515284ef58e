"""Runs campaigns against the built programs, each bounded by the clock and repeatable by its seed (`make attack`).

Each tells how much it tried and how much of that held; what did not is a line with all that is needed to try it again.

    python -m tests.attack [--seconds N] [--seed N] [CAMPAIGN...]
"""

import argparse
import sys
from collections.abc import Mapping, Sequence

from tests.attack import inject, kills, local, overlay, parsers
from tests.attack.figures import Budget, Campaign

CAMPAIGNS: Mapping[str, Campaign] = {
    "inject": inject.campaign,
    "kills": kills.campaign,
    "local": local.campaign,
    "overlay": overlay.campaign,
    "parsers": parsers.campaign,
}
SECONDS = 300.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the campaigns asked for, all by default, and return the exit code: 0 when everything held."""
    parser = argparse.ArgumentParser(prog="python -m tests.attack")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="for each campaign (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of what is drawn (default: %(default)s)")
    parser.add_argument("campaign", nargs="*", choices=[[], *CAMPAIGNS], help=f"of {', '.join(CAMPAIGNS)}")
    options = parser.parse_args(arguments)
    broken = 0
    for name in options.campaign or CAMPAIGNS:
        figures = CAMPAIGNS[name](Budget(options.seconds, options.seed))
        for line in figures.broken:
            print(f"attack: {name}: {line}", file=sys.stderr)
        print(f"attack: {name}: tried {figures.tried}, held {figures.held} (seed {options.seed})")
        broken += len(figures.broken)
    return 1 if broken else 0


if __name__ == "__main__":
    raise SystemExit(main())
