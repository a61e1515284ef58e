"""Claims about the manual as a whole:

- every command of `tulle --help` and every program that is built has its page
- every option of every parser is on its command's page, and no page names an option of ours that no parser has
- every key of a schema is on its program's page and on that of the list; lease, network config and hosts file have theirs
- every code that an error of ours can have is explained
- a page that is named is there, or is another project's
- mandoc, groff and mandb's lexgrog find nothing to complain about; a page is found by its name and its summary
- a source that asks for what is not there is refused with its file and line
"""

import dataclasses
import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

from build.manual import commands, roff, schemas, sources
from build.manual.sources import Page, SourceError
from build.programs import PROGRAMS
from catalogue import CNI
from cni.errors import Code
from lease import file as lease_file
from overlay.config import network

PAGES = {page.reference: page for page in sources.pages()}
COMMANDS = ["tulle", "tulled", *(f"tulle {name}" for name in commands.summaries())]
FOREIGN = {
    "podman": {
        "--rm",
        "--name",
        "--ip",
        "--ip6",
        "--mac-address",
        "--network-alias",
        "--dns",
        "--subnet",
        "--gateway",
        "--restart",
    }
    | {
        "--ip-range",
        "--ipam-driver",
        "--internal",
        "--ipv6",
        "--route",
        "--disable-dns",
        "--dns-add",
        "--dns-option",
        "--dns-search",
        "--label",
        "--interface-name",
    },
    "systemctl": {"--now"},
    "firewall-cmd": {"--reload"},
    "nft": {"--check"},
    "ctr": {"--cni"},
    "nobody": {"--flag", "--etcd-..."},
}
"""Options on our pages that are others', by whose."""

ABROAD = {"flock(2)", "resolv.conf(5)", "systemd.exec(5)", "tc-tbf(8)", "podman-network-create(1)"}
"""Pages of other projects."""


SHARED = re.compile(r"(^|\.)(routes\[\]|dns)\.|^capabilities$")
"""Keys that several programs have and tulle-conflist(5) alone explains."""


@cache
def shown(reference: str) -> str:
    """Return a page's words without any markup."""
    text = re.sub(r"\\f[BIR]", "", PAGES[reference].text()).replace(r"\-", "-").replace(r"\&", "").replace(r"\(aq", "'")
    return re.sub(r"\\\[u([0-9A-F]+)\]", lambda found: chr(int(found[1], 16)), text)


def page_of(command: str) -> str:
    return "tulled(8)" if command == "tulled" else f"{command.replace(' ', '-')}(1)"


def needed(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{name} is not installed: make setup FOR=test")
    return str(found)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("man")
    for page in PAGES.values():
        (made / f"{page.name}.{page.section}").write_text(page.text())
    return made


def test_every_command_and_program_has_its_page() -> None:
    assert {page_of(command) for command in COMMANDS} <= set(PAGES)
    special = {"netavark/tulle": "tulle-netavark(8)", "lib/tulle-forwarder": "tulle-forwarder(8)"}
    for program in PROGRAMS:
        if program.folder != "bin":
            assert special.get(program.place, f"tulle-{program.name}(8)") in PAGES


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_on_its_page(command: str) -> None:
    flags = {flag for action in commands.parser(command)._actions for flag in action.option_strings}
    tags = set(
        re.findall(
            r"(?<![\w-])--?\w[\w-]*", "".join(re.findall(r"^\.TP\n(-.*\n)", shown(page_of(command)), re.MULTILINE))
        )
    )
    assert tags == flags


@pytest.mark.parametrize("reference", PAGES)
def test_no_page_names_an_option_that_does_not_exist(reference: str) -> None:
    known = {
        flag for command in COMMANDS for action in commands.parser(command)._actions for flag in action.option_strings
    }
    named = set(re.findall(r"(?<![\w-])--[a-z][\w-]*(?:\.\.\.)?", shown(reference)))
    assert named <= known | {"--version"} | set().union(*FOREIGN.values())


@pytest.mark.parametrize("program", [name for name, program in CNI.items() if program.schema])
def test_every_key_is_on_its_programs_page(program: str) -> None:
    for path in schemas.paths(CNI[program].schema):
        assert path in shown("tulle-conflist(5)")
        if not SHARED.search(path):
            assert re.search(rf"\b{path.rpartition('.')[2].rstrip('[]')}\b", shown(f"tulle-{program}(8)"))


def test_other_files_keys_are_on_their_pages() -> None:
    assert all(key in shown("tulle-lease(5)") for key in lease_file._KEYS)
    names = {value for names in (network.IPV4, network.IPV6) for value in dataclasses.asdict(names).values()}
    own = {"EnableIPv6", "EnableNFTables", "Backend.Type", *(name for name in names if isinstance(name, str))}
    assert all(key in shown("tulle-net-conf(5)") for key in own)


def test_every_code_is_explained() -> None:
    rows = re.search(r'\.SH "DIAGNOSTICS"\n(.*?)\.SH', shown("tulle-bridge(8)"), re.DOTALL)
    assert rows is not None
    assert {int(code) for code in re.findall(r"^\.TP\n([0-9]+)$", rows[1], re.MULTILINE)} == {
        int(code) for code in Code
    }


def test_pages_that_are_named_are_there() -> None:
    named = {f"{name}{section}" for page in PAGES for name, section in roff.REFERENCE.findall(shown(page))}
    assert named - set(PAGES) == ABROAD


def test_mandoc_finds_nothing(folder: Path) -> None:
    lint = [needed("mandoc"), "-T", "lint", "-W", "warning", *map(str, sorted(folder.iterdir()))]
    assert subprocess.run(lint, capture_output=True, text=True, check=False).stdout == ""


def test_groff_finds_nothing(folder: Path) -> None:
    man = [needed("man"), "--warnings", "-E", "UTF-8", "-Tutf8", "-Z", "-l", *map(str, sorted(folder.iterdir()))]
    done = subprocess.run(
        man, capture_output=True, check=True, env={**os.environ, "LC_ALL": "C.UTF-8", "MANWIDTH": "80"}
    )
    assert done.stderr == b""


def test_a_page_is_found_by_its_name_and_summary(folder: Path) -> None:
    done = subprocess.run(
        [needed("lexgrog"), *map(str, sorted(folder.iterdir()))], capture_output=True, text=True, check=True
    )
    assert len(done.stdout.splitlines()) == len(PAGES)
    assert '"tulle-doctor - what is wrong with the network here' in done.stdout


def test_links_lead_to_pages() -> None:
    assert sources.page_of("../repair.md#x") == "tulle-repair(1)"
    assert sources.page_of("daemon.md") == "tulled(8)"
    assert sources.page_of("decisions/0001-one-netlink-transport.md") == ""
    assert "the driver, tulle-netavark(8), for then" in shown("tulle-init(1)").replace("\n", " ")


@pytest.mark.parametrize(
    "asked", ["{from nowhere.md}", "{from gc.md: Nothing}", "{rest gc.md: Nothing}", "{options tulle x}"]
)
def test_what_is_not_there_is_refused(asked: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.1.md").write_text(f"# x(1) - it\n\n{asked}\n")
    monkeypatch.setattr(sources, "HERE", tmp_path)
    with pytest.raises(SourceError, match=r"pages/x\.1\.md, line 3: "):
        Page("x", 1).text()


def test_a_source_begins_with_its_title(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.1.md").write_text("# y(1) - it\n")
    monkeypatch.setattr(sources, "HERE", tmp_path)
    with pytest.raises(SourceError, match=r"x\(1\): its source has to begin with '# x\(1\) - SUMMARY'"):
        Page("x", 1).text()
