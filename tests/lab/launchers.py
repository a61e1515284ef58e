"""The launcher as it is built and as the sanitizers want it, in a tree of its own with a stand-in for the cold program.

The stand-in notes how it was started. Must not know the agent: tests.lab.agents plays it.
"""

import hashlib
import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from bridge.program import PROGRAM as BRIDGE
from build.launcher import make
from ipam.host_local import PROGRAM as HOST_LOCAL

BUILD_ID = hashlib.sha256(b"a tree").hexdigest()
FACTS = make.facts([BRIDGE, HOST_LOCAL], BUILD_ID)
FLAVOURS = {"plain": make.RELEASE, "sanitized": make.SANITIZED}
COLD = Path(__file__).parent / "cold" / "stand_in.c"
CONFIG = b'{"cniVersion": "1.0.0", "name": "n"}'
NO_AGENT = "/nowhere/agent.sock"
PATIENCE = 20.0

Notes = list[dict[str, object]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the caller got, and how often and how the cold program was started."""

    status: int
    stdout: bytes
    stderr: str
    cold: Notes

    @property
    def refusal(self) -> dict[str, object]:
        document: dict[str, object] = json.loads(self.stdout)
        return document


@dataclass(frozen=True, slots=True)
class Launcher:
    """A tree with lib/launcher, lib/tulle and cni/bridge, and the file in which its cold program notes."""

    tree: Path
    notes: Path

    @property
    def bridge(self) -> Path:
        return self.tree / "cni" / "bridge"

    @property
    def cold(self) -> Path:
        return self.tree / "lib" / "tulle"

    def environ(self, verb: str, **more: str) -> dict[str, str]:
        """Return an environment for `verb`; whatever a sanitizer finds ends the process with 99."""
        own = {"CNI_COMMAND": verb, "NOTES": str(self.notes), "TULLE_AGENT": NO_AGENT}
        return {**own, "ASAN_OPTIONS": "exitcode=99", "UBSAN_OPTIONS": "exitcode=99", **more}

    def start(
        self,
        environ: Mapping[str, str],
        stdin: int | BinaryIO = subprocess.PIPE,
        *,
        command: Sequence[str | Path] = (),
        stdout: int | BinaryIO = subprocess.PIPE,
        cwd: Path | None = None,
    ) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command or [self.bridge], env=environ, stdin=stdin, stdout=stdout, stderr=subprocess.PIPE, cwd=cwd
        )

    def run(self, verb: str, config: bytes = CONFIG, *, agent: str = NO_AGENT, **more: str) -> Outcome:
        return self.finish(self.start(self.environ(verb, TULLE_AGENT=agent, **more)), config)

    def finish(self, process: subprocess.Popen[bytes], config: bytes | None = None) -> Outcome:
        """Feed `config` to the end, wait, and return what came of it; a sanitizer's finding fails the test."""
        with process:
            try:
                stdout, stderr = process.communicate(config, timeout=PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        words = stderr.decode()
        assert process.returncode != 99, words
        return Outcome(process.returncode, stdout or b"", words, self.noted())

    def noted(self) -> Notes:
        return [json.loads(line) for line in self.notes.read_text().splitlines()] if self.notes.exists() else []


def make_tree(tree: Path, flavour: str) -> None:
    """Compile the launcher in one flavour, and the stand-in."""
    make.compiled(tree / "lib" / "launcher", FACTS, FLAVOURS[flavour])
    make.compiled(tree / "lib" / "tulle", FACTS, ("gcc", "-static", f'-DSCRIPT="{COLD.with_suffix(".py")}"'), [COLD])
    (tree / "cni").mkdir()
    (tree / "cni" / "bridge").symlink_to("../lib/launcher")


def copy_tree(tree: Path, home: Path) -> Launcher:
    """Return a copy that a test may damage."""
    shutil.copytree(tree, home / "tree", symlinks=True)
    return Launcher(home / "tree", home / "notes")


def digest(content: bytes) -> str:
    """Return what the stand-in notes of its stdin."""
    return hashlib.sha256(content).hexdigest()
