"""Claims: a refusal is one sentence of place, problem and remedy, whichever of them there are; a store's failure is one of things not
there yet; a file that cannot be used just now is a store's failure, one that a person must correct a refusal, whatever number a
library gave its own error.
"""

import errno
import ssl

import pytest

from overlay.errors import Refused, StoreError, Unavailable, unusable


@pytest.mark.parametrize(
    ("where", "remedy", "sentence"),
    [("f.json", "fix it", "f.json: bad; fix it"), ("", "fix it", "bad; fix it"), ("f.json", "", "f.json: bad")],
)
def test_a_refusal_is_one_sentence(where: str, remedy: str, sentence: str) -> None:
    assert str(Refused("bad", where=where, remedy=remedy)) == sentence


def test_a_stores_failure_may_pass() -> None:
    assert issubclass(StoreError, Unavailable)
    assert not issubclass(StoreError, Refused)


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENOSPC, errno.EAGAIN, errno.EIO])
def test_a_file_that_cannot_be_used_just_now_is_a_stores_failure(number: int) -> None:
    assert isinstance(unusable(OSError(number, "x"), "bad", where="f", remedy="fix it"), StoreError)


@pytest.mark.parametrize(
    "problem", [FileNotFoundError(errno.ENOENT, "x"), PermissionError(errno.EACCES, "x"), ssl.SSLError(24, "x")]
)
def test_a_file_that_a_person_must_correct_is_refused(problem: Exception) -> None:
    refused = unusable(problem, "bad", where="f", remedy="fix it")
    assert isinstance(refused, Refused)
    assert str(refused) == "f: bad; fix it"
