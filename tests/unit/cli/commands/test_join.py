"""Claims about the command tulle join, on staged machines:

- it writes the hosts file and tulled's settings once, keeps their mode, and says what to run next; --dry-run writes nothing
- settings that tulled would refuse, and hosts that are all elsewhere, end it before anything is written
- where Podman's netavark wires containers without our driver, their packets are let out before it masquerades them
- with --etcd the settings name the members, and there is no hosts file
- the same command with a typing mistake corrected works, and so does the other way to join; what a person edited stays, but for --replace
- without systemd nothing is started, and --now says so
"""

import argparse
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest

from cli.commands import join
from cli.inspect import daemon_settings
from cli.inspect.detect import under
from cli.setup import hosts_file, joined

HERE = (IPv4Address("192.0.2.11"),)
HOSTS = ("192.0.2.11", "192.0.2.12")


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Be the first host: the machine that runs the tests has other addresses."""
    monkeypatch.setattr(join, "local_addresses", lambda: HERE)


def run(root: Path, *hosts: str, dry: bool = False, **given: object) -> int:
    usual = {"etcd": "", "network": hosts_file.NETWORK, "now": False, "replace": False, "offline": False}
    return join.run(argparse.Namespace(hosts=list(hosts), dry_run=dry, **{**usual, **given}), root)


def files(root: Path) -> set[str]:
    return {f"/{path.relative_to(root)}" for path in root.rglob("*") if path.is_file()}


def test_both_files_are_written_once_and_the_next_command_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert [run(tmp_path, *HOSTS) for _ in range(2)] == [0, 0]
    said = capsys.readouterr().out
    for path in (hosts_file.HOSTS, daemon_settings.FILE):
        assert (said.count(f"wrote {path}"), said.count(f"{path} unchanged")) == (1, 1)
    assert "next: (set -a; . /etc/default/tulled; exec tulled) &\nnext: tulle init\n" in said
    assert files(tmp_path) == {hosts_file.HOSTS, daemon_settings.FILE, joined.RECORD}
    assert daemon_settings.assignments(under(tmp_path, daemon_settings.FILE).read_text(), "") == {
        "TULLED_STORE": "file:/etc/tulle/hosts.json",
        "TULLED_IP_MASQ": "true",
        "TULLED_BRIDGE": "tulle0",
    }


def test_a_dry_run_shows_the_files_and_writes_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, *HOSTS, dry=True) == 0
    assert f"would write {hosts_file.HOSTS}:\n{{" in capsys.readouterr().out
    assert files(tmp_path) == set()


def test_settings_that_only_root_may_read_stay_so(tmp_path: Path) -> None:
    place = under(tmp_path, daemon_settings.FILE)
    place.parent.mkdir(parents=True)
    place.write_text("TULLED_V=1\n")
    place.chmod(0o600)
    assert run(tmp_path, *HOSTS) == 0
    assert (place.stat().st_mode & 0o777, place.read_text().startswith("TULLED_V=1\n")) == (0o600, True)


def test_settings_tulled_would_refuse_are_refused_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = under(tmp_path, daemon_settings.FILE)
    place.parent.mkdir(parents=True)
    place.write_text("TULLED_NETWORK=10.1.0.0/16\n")
    assert run(tmp_path, *HOSTS) == 1
    assert "--network has no use with --store file:" in capsys.readouterr().err
    assert files(tmp_path) == {daemon_settings.FILE}


def test_a_host_that_is_not_among_them_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, "192.0.2.12", "192.0.2.13") == 1
    assert (
        "this host (192.0.2.11) is not in the list; name it too, by the address the others reach it at: "
        "tulle join 192.0.2.12 192.0.2.13 192.0.2.11" in capsys.readouterr().err
    )
    assert files(tmp_path) == set()


def test_with_etcd_there_is_no_hosts_file(tmp_path: Path) -> None:
    assert run(tmp_path, etcd="https://192.0.2.1:2379,https://192.0.2.2:2379") == 0
    assert files(tmp_path) == {daemon_settings.FILE, joined.RECORD}
    text = under(tmp_path, daemon_settings.FILE).read_text()
    assert text.startswith("TULLED_ETCD_ENDPOINTS=https://192.0.2.1:2379,https://192.0.2.2:2379\n")


def test_a_url_that_is_none_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, etcd="ftp://192.0.2.1") == 1
    assert "--etcd: cannot be used; write URLs like" in capsys.readouterr().err


def test_hosts_and_etcd_are_two_ways(tmp_path: Path) -> None:
    assert (run(tmp_path), run(tmp_path, *HOSTS, etcd="http://192.0.2.1:2379")) == (2, 2)


def test_without_systemd_nothing_is_started_and_now_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, *HOSTS, now=True) == 1
    said = capsys.readouterr()
    assert ("no systemd runs here" in said.err, "next: (set -a;" in said.out) == (True, True)


def test_with_systemd_its_units_are_what_to_run_next(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    under(tmp_path, join.SYSTEMD).mkdir(parents=True)
    assert run(tmp_path, *HOSTS) == 0
    assert "next: systemctl enable --now tulle-agent tulled\n" in capsys.readouterr().out


def test_netavark_without_our_driver_gets_its_rule(tmp_path: Path) -> None:
    for program in ("/usr/bin/podman", "/usr/lib/podman/netavark"):
        under(tmp_path, program).parent.mkdir(parents=True, exist_ok=True)
        under(tmp_path, program).touch()
    assert run(tmp_path, *HOSTS) == 0
    assert "TULLED_KEEP_SOURCE=true\n" in under(tmp_path, daemon_settings.FILE).read_text()


ETCD = "http://192.0.2.1:2379"


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ({"hosts": ("192.0.2.11", "192.0.2.21")}, {"hosts": HOSTS}),
        ({"hosts": HOSTS, "network": "10.24.0.0/16"}, {"hosts": HOSTS}),
        ({"etcd": "http://192.0.2.9:2379"}, {"etcd": ETCD}),
        ({"etcd": ETCD}, {"hosts": HOSTS}),
        ({"hosts": HOSTS}, {"etcd": ETCD}),
    ],
)
def test_the_same_command_with_the_mistake_corrected_works(
    tmp_path: Path, wrong: dict[str, Any], right: dict[str, Any]
) -> None:
    def join_by(given: dict[str, Any], root: Path) -> dict[str, str]:
        assert (
            run(root, *given.get("hosts", ()), **{name: value for name, value in given.items() if name != "hosts"}) == 0
        )
        return daemon_settings.variables(under(root, daemon_settings.FILE))

    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    join_by(wrong, tmp_path / "one")
    assert join_by(right, tmp_path / "one") == join_by(right, tmp_path / "two")
    if "hosts" in right:
        one, two = (under(tmp_path / name, hosts_file.HOSTS).read_text() for name in ("one", "two"))
        assert one == two


def test_what_a_person_edited_stays_but_for_replace(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, *HOSTS) == 0
    place = under(tmp_path, hosts_file.HOSTS)
    edited = place.read_text().replace("vxlan", "host-gw")
    place.write_text(edited)
    assert run(tmp_path, *HOSTS) == 1
    assert "was edited by hand: its network is not" in capsys.readouterr().err
    assert place.read_text() == edited
    assert run(tmp_path, *HOSTS, replace=True) == 0
    assert '"vxlan"' in place.read_text()


def test_a_record_that_is_no_record_remembers_nothing(tmp_path: Path) -> None:
    assert run(tmp_path, *HOSTS) == 0
    for text in ("{", "[]", '{"variables": 5, "hosts": ""}', "{}"):
        under(tmp_path, joined.RECORD).write_text(text)
        assert joined.read(tmp_path) == joined.Joined()


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"etcd": ETCD, "network": "10.1.0.0/16"}, "the range is in etcd's network config"),
        ({"hosts": HOSTS, "now": True, "offline": True}, "--offline and --now do not go together"),
    ],
)
def test_words_that_do_not_go_together_are_wrong_usage(
    tmp_path: Path, given: dict[str, Any], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, *given.pop("hosts", ()), **given) == 2
    assert why in capsys.readouterr().err


def test_a_name_that_nobody_knows_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, "192.0.2.11", "no-such-host.invalid") == 1
    assert "no-such-host.invalid has no IPv4 address here: " in capsys.readouterr().err
    assert files(tmp_path) == set()
