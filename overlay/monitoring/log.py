"""The log: one line per event on stderr, key=value for people or JSON for machines.

A line is written when something changes, not each time it is checked: `change` writes nothing while a topic's state
stays the same. When a call returns, its line is out, or lost and counted.
"""

import json
import re
from collections.abc import Callable
from typing import Any, Protocol

from system.stderr import Stderr

_PLAIN = re.compile(r"[A-Za-z0-9_.,:/@%+&-]+")

LONGEST = 16_384
"""Characters of one value: a trace fits, and a store's entry of a megabyte does not fill the disk."""


class Out(Protocol):
    """What lines are written to."""

    def write(self, text: str, /) -> object:
        """Take `text`."""

    def flush(self) -> object:
        """Let nothing wait."""


class Log:
    """A writer of events; `clock` gives the time of day as text."""

    def __init__(self, out: Out, *, clock: Callable[[], str], form: str = "text", verbose: bool = False) -> None:
        self._out, self._clock, self._json, self._verbose = out, clock, form == "json", verbose
        self._last: dict[str, tuple[str, str]] = {}
        self._always: dict[str, object] = {}

    def about(self, **always: object) -> "Log":
        """Return a log that adds these fields to every line, and keeps topics of its own."""
        form = "json" if self._json else "text"
        other = Log(self._out, clock=self._clock, form=form, verbose=self._verbose)
        other._always = {**self._always, **always}
        return other

    def info(self, event: str, **fields: object) -> None:
        """Write what happened."""
        self._write("info", event, fields)

    def warning(self, event: str, **fields: object) -> None:
        """Write what a person may want to look at."""
        self._write("warning", event, fields)

    def error(self, event: str, **fields: object) -> None:
        """Write what keeps the daemon from its task."""
        self._write("error", event, fields)

    def detail(self, event: str, **fields: object) -> None:
        """Write what is of use only to somebody who asked for more (-v 1)."""
        if self._verbose:
            self._write("detail", event, fields)

    def change(self, topic: str, level: str, event: str, **fields: object) -> None:
        """Write the state of `topic` if it is not what was last written about it."""
        said = (event, repr(sorted(fields.items())))
        if self._last.get(topic) != said:
            self._last[topic] = said
            self._write(level, event, fields)

    def settled(self, topic: str, event: str, **fields: object) -> None:
        """Write that a topic which was complained about is well again; silent when nobody complained."""
        if self._last.pop(topic, None) is not None:
            self._write("info", event, fields)

    def _write(self, level: str, event: str, fields: dict[str, object]) -> None:
        line = {"time": self._clock(), "level": level, "event": event, **_values(self._always), **_values(fields)}
        self._out.write((json.dumps(line) if self._json else _text(line)) + "\n")
        self._out.flush()
        if isinstance(self._out, Stderr) and (lost := self._out.regained()):
            self._write("warning", "log lines before the last one could not be written", {"lines": lost})


def _values(fields: dict[str, object]) -> dict[str, Any]:
    return {name: _value(value) for name, value in fields.items()}


def _value(value: object) -> Any:
    if isinstance(value, bool | int | float):
        return value
    text = str(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}... ({len(text)} characters)"


def _text(line: dict[str, Any]) -> str:
    return " ".join(f"{key}={_quoted(str(value))}" for key, value in line.items())


def _quoted(text: str) -> str:
    """Leave plain words bare; whatever could break the line or forge another goes into JSON quotes."""
    return text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=True)
