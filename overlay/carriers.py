"""Sees that what carries the packets of a layer 3 device runs and knows the peers; the device is there when it does.

A carrier outlives us: an existing one that can go on is told what changed and nothing else, so that no packet is lost. Must
not decide which peers there are; what the device itself needs is overlay.drift's.
"""

import sys
from pathlib import Path

from kernel import tools
from overlay.backends import Forwarding, Pipe
from overlay.errors import Unavailable
from overlay.forwarder import control
from overlay.forwarder.control import State

START = "import sys; sys.path[:] = {paths!r}; from overlay.forwarder.process import main; raise SystemExit(main())"


def ensure(pipe: Pipe, owner: str) -> tuple[str, ...]:
    """Bring the carrier of a device in line and say what was changed; `owner` is our lease file.

    Raises KernelError, or Unavailable while the device is another daemon's.
    """
    return _forwarding(pipe.name, pipe.carrier, owner)


def retire(device: str, owner: str) -> bool:
    """Stop the forwarder of a device if it is ours and running; tell whether it was."""
    running = control.ask(device)
    if running is None or running.owner != owner:
        return False
    control.ask(device, control.STOP)
    return True


def _forwarding(device: str, wanted: Forwarding, owner: str) -> tuple[str, ...]:
    state = State(device, wanted.bind, wanted.port, owner, wanted.source, wanted.routes)
    running = control.ask(device)
    if running == state:
        return ()
    if running is not None and running.owner != owner:
        raise Unavailable(
            f"{device} is carried for the daemon with the lease file {running.owner}; stop that one first"
        )
    if running is not None and running.same_process(state):
        control.ask(device, control.encode(state))
        return (f"telling the forwarder of {device} about {len(state.routes)} peers",)
    if running is not None:
        control.ask(device, control.STOP)
    _start(state)
    return (f"starting the forwarder of {device} on {state.bind} port {state.port}",)


def _start(state: State) -> None:
    """Start a forwarder; it comes back once it carries packets in the background."""
    script = START.format(paths=[str(Path(path).absolute()) for path in sys.path])
    outcome = tools.run([sys.executable, "-IS", "-c", script], control.encode(state).decode())
    if outcome.code != 0:
        raise tools.refusal(outcome, f"starting the forwarder of {state.device}")
