"""Claims: a daemon that makes no comparisons for a while is neither alive nor ready, and says so; one whose store is silent for long is
alive but not ready.
"""

import time
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

from overlay import daemon
from overlay.daemon import Daemon
from overlay.datapath.reconciler import ReconcileStatus
from overlay.subnet.manager import Clock


@dataclass
class Around:
    """As much of the world as the judgement of health looks at."""

    clock: float = 100.0
    heard: float = field(default_factory=time.monotonic)

    def daemon(self) -> Daemon:
        outside = SimpleNamespace(
            store=SimpleNamespace(heard=self.heard),
            lease_clock=Clock(lambda: self.clock, lambda: 0.0),
            underlay=SimpleNamespace(problem=""),
            log=None,
        )
        return Daemon(
            cast("Any", outside),
            cast("Any", None),
            cast("Any", SimpleNamespace(progress=ReconcileStatus(), cidr="10.42.0.0/16", backend_type="vxlan")),
        )


def test_no_comparison_for_long_is_not_alive() -> None:
    around = Around()
    made = around.daemon()
    assert made.health().alive
    around.clock += 4 * daemon.PERIOD
    assert not made.health().alive
    assert "loop: no comparison for 20 s or more" in made.health().missing


def test_a_silent_store_is_alive_and_not_ready() -> None:
    made = Around(heard=time.monotonic() - daemon.STORE_SILENCE_LIMIT - 1).daemon()
    assert made.health().alive
    assert "store: not heard for 301 s" in made.health().missing
    assert not any(one.startswith("store") for one in Around().daemon().health().missing)
