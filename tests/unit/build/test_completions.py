"""Claims about what shells complete:

- every command of tulle and every option of both commands is there for every shell; no option is told that the parser does not have
- bash itself offers commands, options, words and files where each belongs
- zsh and fish find no mistake in theirs, and fish offers the same; skipped only where the shell is absent, and never in CI
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from build import completions
from build.completions import SHELLS, Command

TULLE, TULLED = completions.commands()
EACH = pytest.mark.parametrize("shell", SHELLS)


def offers(command: Command, *words: str) -> list[str]:
    """Return what bash offers for the last of `words`."""
    line = " ".join(words)
    quoted = " ".join(f"'{word}'" for word in words)
    script = (
        f"{completions.bash(command)}\nCOMP_WORDS=({quoted}) COMP_CWORD={len(words) - 1} COMP_LINE='{line}'\n"
        f'_{command.name}; printf "%s\\n" "${{COMPREPLY[@]}}"'
    )
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True, cwd="/")
    assert done.stderr == ""
    return done.stdout.split()


def shell(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{name} is not installed: make setup FOR=test")
    return str(found)


@EACH
def test_every_command_and_option_is_told(shell: str) -> None:
    spell = SHELLS[shell][2]
    for command in (TULLE, TULLED):
        text = spell(command)
        for one in (command, *command.commands):
            assert one.name in text
            for flag in (flag for option in one.options for flag in option.flags):
                assert flag in text or f"-l {flag[2:]}" in text or f"-s {flag[1:]}" in text


def test_bash_offers_commands_and_their_options() -> None:
    assert offers(TULLE, "tulle", "li") == ["lint"]
    assert {"podman", "netavark", "containerd", "nerdctl", "--undo"} <= set(offers(TULLE, "tulle", "init", ""))
    assert offers(TULLE, "tulle", "init", "podman", "--dr") == ["--dry-run"]
    assert offers(TULLE, "tulle", "agent", "st") == ["status"]
    assert offers(TULLED, "tulled", "--iptables-r") == ["--iptables-resync"]


def test_bash_offers_files_where_a_file_belongs() -> None:
    assert "etc" in offers(TULLE, "tulle", "lint", "e")
    assert "etc" in offers(TULLE, "tulle", "lease", "--subnet-file", "e")
    assert "etc" in offers(TULLED, "tulled", "--etcd-cafile", "e")
    assert offers(TULLE, "tulle", "agent", "--workers", "") == []


def test_zsh_finds_no_mistake(tmp_path: Path) -> None:
    for command in (TULLE, TULLED):
        (tmp_path / "_it").write_text(completions.zsh(command))
        subprocess.run([shell("zsh"), "-n", tmp_path / "_it"], check=True, capture_output=True)


def test_fish_offers_the_same(tmp_path: Path) -> None:
    (tmp_path / "it.fish").write_text(completions.fish(TULLE))
    asked = f"source {tmp_path}/it.fish; complete -C 'tulle init --'"
    done = subprocess.run([shell("fish"), "--no-config", "-c", asked], capture_output=True, text=True, check=True)
    assert {"--first", "--dry-run", "--undo", "--subnet-file"} <= {line.split()[0] for line in done.stdout.splitlines()}
