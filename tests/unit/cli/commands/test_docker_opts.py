"""Claims about cli.commands.docker_opts:

- the lines are those of the contract's table: by default, -i, -c, -k, -m, and with values that are there already
- a hostile value that is there already stays one value for a shell
- a missing or wrong lease, and a file that cannot be written, are told with the path and end in 1, with nothing written
"""

import subprocess
from pathlib import Path

import pytest

from cli.commands.docker_opts import Form, lines
from cli.main import main
from lease import file

TEXT = "FLANNEL_NETWORK=10.1.0.0/16\nFLANNEL_SUBNET=10.1.74.1/24\nFLANNEL_MTU=1472\nFLANNEL_IPMASQ=false\n"
LEASE = file.parse(TEXT)

BIP = 'DOCKER_OPT_BIP="--bip=10.1.74.1/24"'
MASQUERADE = 'DOCKER_OPT_IPMASQ="--ip-masq=true"'
MTU = 'DOCKER_OPT_MTU="--mtu=1472"'
ALL = 'DOCKER_OPTS=" --bip=10.1.74.1/24 --ip-masq=true --mtu=1472"'


@pytest.mark.parametrize(
    ("options", "written"),
    [
        ([], [BIP, MASQUERADE, MTU, ALL]),
        (["-i"], [BIP, MASQUERADE, MTU]),
        (["-c"], [ALL]),
        (["-i", "-c"], [BIP, MASQUERADE, MTU, ALL]),
        (["-k", "CUSTOM_KEY"], [BIP, MASQUERADE, MTU, ALL.replace("DOCKER_OPTS", "CUSTOM_KEY")]),
        (["-m"], [BIP, MTU, ALL.replace(" --ip-masq=true", "")]),
    ],
)
def test_the_lines_are_those_of_the_table(
    options: list[str], written: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DOCKER_OPTS", "CUSTOM_KEY"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "subnet.env").write_text(TEXT)
    (tmp_path / "out").write_text("older\n" * 100)
    assert main(["docker-opts", "-f", f"{tmp_path}/subnet.env", "-d", f"{tmp_path}/out", *options]) == 0
    assert (tmp_path / "out").read_text().splitlines() == written


def test_docker_masquerades_what_the_daemon_does_not() -> None:
    ours = file.parse(TEXT.replace("false", "true"))
    assert 'DOCKER_OPT_IPMASQ="--ip-masq=false"' in list(lines(ours, Form(), {}))


def test_what_is_there_already_is_kept() -> None:
    environ = {"DOCKER_OPTS": "--debug", "DOCKER_OPT_DNS": "--dns=10.0.0.1", "DOCKER_OPT_MTU": "--mtu=9", "OTHER": "x"}
    assert list(lines(LEASE, Form(), environ)) == [
        BIP,
        'DOCKER_OPT_DNS="--dns=10.0.0.1"',
        MASQUERADE,
        MTU,
        'DOCKER_OPTS="--debug --bip=10.1.74.1/24 --dns=10.0.0.1 --ip-masq=true --mtu=1472"',
    ]


def test_a_lease_without_ipv4_has_no_bridge_address() -> None:
    six = "FLANNEL_IPV6_NETWORK=fd00::/48\nFLANNEL_IPV6_SUBNET=fd00::1/64\nFLANNEL_MTU=1472\nFLANNEL_IPMASQ=false\n"
    assert list(lines(file.parse(six), Form(), {})) == [MASQUERADE, MTU, ALL.replace(" --bip=10.1.74.1/24", "")]


def test_a_hostile_value_stays_one_value_for_a_shell(tmp_path: Path) -> None:
    hostile = 'a "b" `touch x` $(touch y) $HOME \\ \n c'
    (tmp_path / "out").write_text("\n".join(lines(LEASE, Form(individual=False), {"DOCKER_OPTS": hostile})))
    script = f'. {tmp_path}/out; printf %s "$DOCKER_OPTS"'
    said = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, check=True, cwd=tmp_path).stdout
    assert said == f"{hostile} --bip=10.1.74.1/24 --ip-masq=true --mtu=1472"


@pytest.mark.parametrize("content", [None, TEXT.replace("false", "maybe")])
def test_without_a_usable_lease_nothing_is_written(
    content: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if content:
        (tmp_path / "subnet.env").write_text(content)
    assert main(["docker-opts", "-f", f"{tmp_path}/subnet.env", "-d", f"{tmp_path}/out"]) == 1
    assert f"tulle docker-opts: lease file {tmp_path}/subnet.env: " in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "subnet.env").write_text(TEXT)
    assert main(["docker-opts", "-f", f"{tmp_path}/subnet.env", "-d", f"{tmp_path}/no/out"]) == 1
    assert f"{tmp_path}/no/out" in capsys.readouterr().err
