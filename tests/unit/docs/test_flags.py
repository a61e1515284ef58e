"""Claims: docs/daemon.md has a row for every flag with its default and what --help says, and one for each that has no effect."""

from build.programs import ROOT
from overlay.config.settings import OPTIONS, UNUSED, Option

TEXT = (ROOT / "docs" / "daemon.md").read_text(encoding="utf-8")


def row(option: Option) -> str:
    metavar = f" {option.metavar}" if option.metavar else ""
    default = "" if option.default in ("", None, ()) else str(option.default).lower()
    shown = option.default if isinstance(option.default, str) and option.default else default
    return f"| `--{option.flag}{metavar}` | {shown} | {option.about} |".replace("NAME|IP", "NAME or IP")


def test_every_flag_has_its_row() -> None:
    assert [row(option) for option in OPTIONS if row(option) not in TEXT] == []


def test_every_flag_without_effect_is_named() -> None:
    assert [flag for flag, why in UNUSED.items() if f"| `--{flag}` | {why} |" not in TEXT] == []
