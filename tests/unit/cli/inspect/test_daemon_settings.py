"""Claims about where the command takes tulled's settings from: its unit's file, the environment over it, the words over both."""

import argparse
from pathlib import Path

import pytest

from cli.inspect import daemon_settings
from overlay.errors import Refused


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "tulled"


def given(file: Path, *words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    daemon_settings.declare(parser)
    return parser.parse_args(["--settings-file", str(file), *words])


def test_a_setting_comes_from_the_file(file: Path) -> None:
    file.write_text('# a comment\nTULLED_STORE="file:/etc/hosts of mine"\n\nTULLED_IFACE=eth7\n')
    (found,) = daemon_settings.read(given(file), {})
    assert (found.store, found.iface) == ("file:/etc/hosts of mine", ("eth7",))


def test_the_environment_counts_before_the_file(file: Path) -> None:
    file.write_text("TULLED_IFACE=eth7\n")
    (found,) = daemon_settings.read(given(file), {"TULLED_IFACE": "eth8"})
    assert found.iface == ("eth8",)


def test_words_count_before_both(file: Path) -> None:
    file.write_text("TULLED_IFACE=eth7\n")
    (found,) = daemon_settings.read(given(file, "--", "--iface", "eth9"), {"TULLED_IFACE": "eth8"})
    assert found.iface == ("eth9",)


def test_a_file_that_is_named_has_to_be_there(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Refused, match=f"{file}: there is no such file; leave --settings-file out"):
        daemon_settings.read(given(file), {})
    monkeypatch.setattr(daemon_settings, "FILE", str(file))
    assert daemon_settings.read(given(file), {})[0].store == "sqlite:/var/lib/tulle/network.db"


def test_a_network_is_never_founded_by_looking_at_it(file: Path) -> None:
    file.touch()
    (found,) = daemon_settings.read(given(file, "--", "--network", "10.42.0.0/16"), {})
    assert found.network == ""


def test_several_networks_are_told_one_by_one(file: Path) -> None:
    file.write_text("TULLED_ETCD_PREFIX=/a=/run/a.env,/b=/run/b.env\n")
    assert [each.subnet_file for each in daemon_settings.read(given(file), {})] == ["/run/a.env", "/run/b.env"]


def test_a_file_that_is_no_list_of_assignments_is_refused_by_name(file: Path) -> None:
    file.write_text('TULLED_IFACE="eth7\n')
    with pytest.raises(Refused, match=f"{file}: cannot be read.*write lines NAME=VALUE"):
        daemon_settings.read(given(file), {})


def test_the_help_of_the_daemon_is_not_ours(file: Path) -> None:
    file.touch()
    with pytest.raises(Refused, match="run tulled --help"):
        daemon_settings.read(given(file, "--", "--help"), {})
