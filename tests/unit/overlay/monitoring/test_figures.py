"""Claim: figures without anything counted are zeros, and ages nobody knows are none."""

from overlay.monitoring.figures import Figures


def test_nothing_counted_is_zero_and_no_age() -> None:
    assert (Figures().peers, Figures().store_age, dict(Figures().devices)) == (0, None, {})
