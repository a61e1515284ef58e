"""Claims about what pages show:

- every command line of ours in a block of code is one that the command takes
- every configuration in one is right, and so are the lease, the hosts file and the network config
- what `tulle lease` and `tulle lint` are shown to say is what they say; what dockerd is shown to be given is this host's lease
"""

import io
import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from build.manual import sources
from cli import main as tulle
from cli.commands import lint
from lease import file as lease_file
from overlay.config import network, settings
from overlay.stores import file as hosts

PAGES = {page.reference: page for page in sources.pages()}


def blocks(reference: str) -> list[str]:
    tokens = MarkdownIt("commonmark").parse(PAGES[reference].markdown())
    return [token.content for token in tokens if token.type in ("fence", "code_block")]


def typed() -> Iterator[tuple[str, str]]:
    for reference in PAGES:
        for line in "".join(blocks(reference)).splitlines():
            if re.match(r"(?:\$ )?(?:tulle|tulled) ", line) and "\N{HORIZONTAL ELLIPSIS}" not in line:
                yield reference, line.removeprefix("$ ")


@pytest.mark.parametrize(("reference", "line"), sorted(set(typed())))
def test_a_command_line_is_taken(reference: str, line: str) -> None:
    command, *words = shlex.split(line.removesuffix("&"), comments=True)
    if command == "tulled":
        settings.parse(words, {}, io.StringIO())
        return
    options = tulle.command_line().parse_args(words)
    settings.parse(getattr(options, "settings", []), {}, io.StringIO())


@pytest.mark.parametrize("reference", PAGES)
def test_a_configuration_is_right(reference: str) -> None:
    for block in (block for block in blocks(reference) if block.startswith("{") and '"cniVersion"' in block[:40]):
        document = json.loads(block)
        if "plugins" in document or "ipam" in document:
            assert lint.mistakes_of(block.encode()) == []


def test_the_hosts_file_is_right() -> None:
    (shown,) = (block for block in blocks("tulle-hosts(5)") if block.startswith("{"))
    assert len(hosts.parse(shown, "shown").hosts) == 2


def test_network_configs_are_right() -> None:
    shown = [block for block in blocks("tulle-net-conf(5)") if block.startswith("{")]
    assert [len(network.parse(block, "shown").networks) for block in shown] == [1, 2]


def test_lease_says_what_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (lease,) = blocks("tulle-lease(5)")
    assert lease_file.render(lease_file.parse(lease)) == lease
    (tmp_path / "subnet.env").write_text(lease)
    assert tulle.main(["lease", "--subnet-file", str(tmp_path / "subnet.env")]) == 0
    (shown,) = blocks("tulle-lease(1)")
    said, told = (
        text.rpartition("\nnext: ") for text in (capsys.readouterr().out, shown.removeprefix("$ tulle lease\n"))
    )
    assert said[0] == told[0]


def test_lint_says_what_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    plugins = [{"type": "bridge", "mtu": "1450"}]
    Path("web.conflist").write_text(json.dumps({"cniVersion": "1.0.0", "name": "web", "plugins": plugins}))
    assert tulle.main(["lint", "web.conflist"]) == 1
    assert f"$ tulle lint web.conflist\n{capsys.readouterr().out}" == blocks("tulle-lint(1)")[0]


def test_docker_is_given_the_lease(tmp_path: Path) -> None:
    (lease,) = blocks("tulle-lease(5)")
    (tmp_path / "subnet.env").write_text(lease)
    write, *use = blocks("tulle-docker-opts(1)")[-1].replace("/run/docker_opts.env", f"{tmp_path}/opts").splitlines()
    assert tulle.main([*shlex.split(write)[1:], "-f", str(tmp_path / "subnet.env")]) == 0
    script = "\n".join(use).replace("dockerd", "echo")
    done = subprocess.run(["sh", "-eu", "-c", script], capture_output=True, text=True, check=True, env={})
    assert done.stdout == "--bip=10.42.1.1/24 --ip-masq=false --mtu=1450\n"
