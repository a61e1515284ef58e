"""What a campaign found: how much was tried, and what did not hold, a sentence each."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

Case = TypeVar("Case")


@dataclass(slots=True)
class Figures:
    """The outcome of a campaign so far."""

    tried: int = 0
    broken: list[str] = field(default_factory=list)

    @property
    def held(self) -> int:
        """How many of those that were tried did hold."""
        return self.tried - len(self.broken)


@dataclass(frozen=True, slots=True)
class Budget:
    """How much a campaign may try: until the clock says so or so many cases are tried (0: all there are), and the seed of what is drawn."""

    seconds: float
    seed: int
    cases: int = 0

    def until_spent(self, cases: Sequence[Case]) -> Iterator[Case]:
        """Yield cases until they or the budget are used up."""
        end = time.monotonic() + self.seconds
        for case in cases[: self.cases or None]:
            if time.monotonic() >= end:
                return
            yield case


Campaign = Callable[[Budget], Figures]
