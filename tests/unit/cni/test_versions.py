"""Claims: version texts are read like the reference reads them; families partition what is supported; verbs have an age."""

import pytest

from cni import versions


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", (0, 1, 0)),
        ("1", (1, 0, 0)),
        ("0.4", (0, 4, 0)),
        ("0.3.1", (0, 3, 1)),
        ("1.1.0", (1, 1, 0)),
        ("10.20.30", (10, 20, 30)),
        ("01.002.3", (1, 2, 3)),
    ],
)
def test_missing_parts_of_a_version_are_zero(text: str, parts: tuple[int, int, int]) -> None:
    assert versions.parse(text) == parts


@pytest.mark.parametrize(
    "text",
    ["1.0.0.0", "a", "1.", ".1", "1..0", "1.0.0-rc1", "v1.0.0", "-1.0.0", "1.0.0\n", "\u0661.\u0660.\u0660", " 1"],
)
def test_junk_is_no_version(text: str) -> None:
    with pytest.raises(ValueError, match="expected up to three numbers"):
        versions.parse(text)


def test_every_supported_version_is_in_exactly_one_family() -> None:
    members = [member for group in versions.FAMILIES for member in group]
    assert sorted(members) == sorted(versions.SUPPORTED)


def test_supported_versions_rise() -> None:
    parsed = [versions.parse(version) for version in versions.SUPPORTED]
    assert parsed == sorted(parsed)


@pytest.mark.parametrize(("one", "other"), [("0.1.0", "0.2.0"), ("0.3.0", "0.4.0"), ("1.0.0", "1.1.0")])
def test_related_versions_share_a_family(one: str, other: str) -> None:
    assert versions.family(one) == versions.family(other)


@pytest.mark.parametrize("version", ["", "0.5.0", "1.2.0", "2.0.0"])
def test_an_unknown_version_has_no_family(version: str) -> None:
    with pytest.raises(ValueError, match=r"known are 0\.1\.0"):
        versions.family(version)
