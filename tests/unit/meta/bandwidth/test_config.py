"""Claims about the limits `bandwidth` reads (docs/reference/cni.md 4.3).

* Limits come from the top level, or from runtimeConfig.bandwidth in any case; one key of the top level, even null, wins completely.
* A rate goes with a burst, in the reference's words; zero and absent mean no limit.
* What stands at the top level counts as typed by a person, also as to its size; what a runtime sends does not.
* Numbers below zero, of another type, below a byte or beyond 32 bits of bytes are refused by their path.
"""

from typing import Any

import pytest

from cni.errors import CniError
from meta.bandwidth.config import Limit, Settings, parse
from tests.unit.meta.bandwidth.asking import asked

BOTH = {"ingressRate": 8000, "ingressBurst": 80, "egressRate": 16000, "egressBurst": 160}
NONE = Settings(None, None)


def test_limits_of_the_top_level_are_read() -> None:
    assert parse(asked(**BOTH)) == Settings(Limit(8000, 80, "ingressRate"), Limit(16000, 160, "egressRate"))


def test_one_direction_may_be_limited_alone() -> None:
    assert parse(asked(egressRate=8000, egressBurst=80)) == Settings(None, Limit(8000, 80, "egressRate"))


@pytest.mark.parametrize(
    "keys", [{}, {"ingressRate": 0, "ingressBurst": 0}, {"runtimeConfig": {}}, {"egressRate": None}]
)
def test_nothing_and_zero_are_no_limit(keys: dict[str, Any]) -> None:
    assert parse(asked(**keys)) == NONE


@pytest.mark.parametrize(("outer", "inner"), [("runtimeConfig", "bandwidth"), ("RuntimeConfig", "bandWidth")])
def test_the_runtime_may_ask_in_any_case(outer: str, inner: str) -> None:
    wished = {"INGRESSRATE": 8000, "ingressburst": 80}
    expected = Limit(8000, 80, "runtimeConfig.bandwidth.ingressRate", typed=False)
    assert parse(asked(**{outer: {inner: wished}})) == Settings(expected, None)


@pytest.mark.parametrize("own", [{"egressRate": 8, "egressBurst": 8}, {"egressBurst": 0}, {"ingressRate": None}])
def test_any_key_of_the_top_level_wins_completely(own: dict[str, Any]) -> None:
    assert parse(asked(**own, runtimeConfig={"bandwidth": BOTH})).ingress is None


@pytest.mark.parametrize("direction", ["ingress", "egress"])
def test_a_rate_goes_with_a_burst(direction: str) -> None:
    with pytest.raises(CniError, match=r"^if rate is set, burst must also be set") as refused:
        parse(asked(**{f"{direction}Rate": 8000}))
    assert f'missing "{direction}Burst"' in refused.value.remedy
    with pytest.raises(CniError, match=r"^if burst is set, rate must also be set"):
        parse(asked(**{f"{direction}Burst": 8000}))


def test_the_largest_burst_is_just_below_32_bits_of_bytes() -> None:
    assert parse(asked(ingressRate=8, ingressBurst=(2**32 - 1) * 8 - 1)).ingress
    with pytest.raises(CniError, match=r"^burst cannot be more than 4GB"):
        parse(asked(ingressRate=8, ingressBurst=(2**32 - 1) * 8))


def test_a_burst_that_nobody_typed_is_not_refused_for_its_size() -> None:
    wished = {"egressRate": 8000, "egressBurst": 2**64 - 1}
    expected = Limit(8000, 2**64 - 1, "runtimeConfig.bandwidth.egressRate", typed=False)
    assert parse(asked(runtimeConfig={"bandwidth": wished})) == Settings(None, expected)


@pytest.mark.parametrize("wrong", [-1, 1.5, "8000", True, 2**64, 7, [], {}])
def test_what_is_no_number_of_bits_is_refused_by_its_path(wrong: Any) -> None:
    with pytest.raises(CniError, match=r'"runtimeConfig\.bandwidth\.ingressRate"') as refused:
        parse(asked(runtimeConfig={"bandwidth": {"ingressRate": wrong, "ingressBurst": 80}}))
    assert refused.value.code == 7
