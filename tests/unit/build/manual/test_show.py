"""Claims about looking at a page: it is printed as it will be installed; a name that is no page's is answered with all names."""

import pytest

from build.manual import show


def test_a_page_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert show.main(["tulle-lease.5"]) == 0
    assert ".TH TULLE-LEASE 5" in capsys.readouterr().out


@pytest.mark.parametrize("words", [[], ["tulle"], ["tulle.1", "tulled.8"]])
def test_another_name_is_answered_with_all(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert show.main(words) == 2
    assert " tulle-tuning.8 tulled.8 tulled.default.5\n" in capsys.readouterr().err
