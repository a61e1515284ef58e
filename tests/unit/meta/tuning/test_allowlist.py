"""Claims: without a list everything is allowed; with one, keys a line of it matches anywhere, blank lines aside; a line Python does
not understand, and a file that cannot be read, are refused.
"""

from pathlib import Path

import pytest

from cni.errors import CniError
from meta.tuning import allowlist


def test_without_a_list_everything_is_allowed(tmp_path: Path) -> None:
    allowlist.check(["net.x"], str(tmp_path / "absent"))


@pytest.mark.parametrize("text", ["ipv4", "\n^net\\.ipv4\\.\n", "^nothing$\n^net\\.ipv4\\.x$", "  ipv4  \n"])
def test_a_key_that_a_line_matches_is_allowed(text: str, tmp_path: Path) -> None:
    (tmp_path / "list").write_text(text)
    allowlist.check(["net.ipv4.x"], str(tmp_path / "list"))


@pytest.mark.parametrize("text", ["", "\n\n", "^ipv4", "net/ipv4/x", "^net.ipv4.x.$"])
def test_a_key_that_no_line_matches_is_refused_by_name(text: str, tmp_path: Path) -> None:
    (tmp_path / "list").write_text(text)
    with pytest.raises(CniError, match=r'^sysctl "net\.ipv4\.x" is not allowed') as refused:
        allowlist.check(["net.ipv4.x"], str(tmp_path / "list"))
    assert refused.value.code == 7
    allowlist.check([], str(tmp_path / "list"))


@pytest.mark.parametrize("line", ["(", "[[:alpha:]]", r"\pL", "(?U)x"])
def test_a_line_that_is_no_pattern_is_refused(line: str, tmp_path: Path) -> None:
    (tmp_path / "list").write_text(line)
    with pytest.raises(CniError, match="is no regular expression"):
        allowlist.check([], str(tmp_path / "list"))


def test_an_unreadable_list_allows_nothing(tmp_path: Path) -> None:
    (tmp_path / "list").write_bytes(b"\xff")
    for path in (tmp_path, tmp_path / "list"):
        with pytest.raises(CniError) as refused:
            allowlist.check([], str(path))
        assert refused.value.code == 5
