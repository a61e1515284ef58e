"""Claims: one thing put back five times within a minute is a loop and is named with its number; fewer, different things, or slower is
none; a minute after the last it is over.
"""

from overlay.firewall.contention import MANY, WINDOW, Contention

TABLE, CHAIN = "setting table ip flannel-ipv4", "setting FLANNEL-FWD of IPv4's iptables"


def test_the_same_again_and_again_is_told_with_its_number() -> None:
    contention = Contention()
    said = [contention.note([TABLE, f"other {second}"], float(second)) for second in range(MANY)]
    assert said[:-1] == [""] * (MANY - 1)
    assert said[-1].startswith(f"in 60 s {TABLE} ({MANY} times); something else on this host keeps changing it")


def test_different_things_and_slow_ones_are_no_loop() -> None:
    contention = Contention()
    assert {contention.note([f"{CHAIN} {number}"], float(number)) for number in range(2 * MANY)} == {""}
    assert {contention.note([TABLE], 100 + number * WINDOW / (MANY - 1.5)) for number in range(2 * MANY)} == {""}


def test_a_loop_that_stopped_is_over_after_a_minute() -> None:
    contention = Contention()
    for _ in range(MANY):
        contention.note([TABLE], 1.0)
    assert [bool(contention.note([], time)) for time in (1 + WINDOW, 2 + WINDOW)] == [True, False]
