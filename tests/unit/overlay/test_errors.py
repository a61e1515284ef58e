"""Claims: a refusal is one sentence of place, problem and remedy, whichever of them there are; a store's failure is one of things not
there yet.
"""

import pytest

from overlay.errors import Refused, StoreError, Unavailable


@pytest.mark.parametrize(
    ("where", "remedy", "sentence"),
    [("f.json", "fix it", "f.json: bad; fix it"), ("", "fix it", "bad; fix it"), ("f.json", "", "f.json: bad")],
)
def test_a_refusal_is_one_sentence(where: str, remedy: str, sentence: str) -> None:
    assert str(Refused("bad", where=where, remedy=remedy)) == sentence


def test_a_stores_failure_may_pass() -> None:
    assert issubclass(StoreError, Unavailable)
    assert not issubclass(StoreError, Refused)
