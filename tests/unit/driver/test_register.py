"""Claims about driver.register's file: what nobody of ours wrote says nothing."""

from pathlib import Path

import pytest

from driver import register


@pytest.mark.parametrize("junk", ["", "{", "[]", "{}", '{"zones": 5}', "[" * 200_000, '{"zones": ' + "1" * 5000 + "}"])
def test_what_nobody_of_ours_wrote_says_nothing(tmp_path: Path, junk: str) -> None:
    (tmp_path / register.STATE).write_text(junk)

    assert register.read(str(tmp_path)) == register.Known()
