"""Claims about how the launcher is made:

- the header holds every program's own answer, the id of the tree and the limits of the cold program
- what the compiler refuses is told in its own words, and leaves what was there
- a text becomes a C string that means the same
- the launcher needs no library, and its stack cannot be executed
"""

import subprocess
from pathlib import Path

import pytest

from bridge.program import PROGRAM as BRIDGE
from build.launcher import make
from build.programs import BuildError
from cni.dispatch import STDIN_BYTES
from tests.lab import launchers


def test_the_header_holds_what_the_programs_say() -> None:
    header = make.facts([BRIDGE], "0a" * 32)

    assert f"#define STDIN_BYTES ((size_t){STDIN_BYTES})\n" in header
    assert f"#define BUILD_ID {', '.join(['10'] * 32)}\n" in header
    assert '#define VERSION_TABLE {"bridge", "{\\"cniVersion\\": ' in header


def test_a_refused_compilation_leaves_what_was_there(tmp_path: Path) -> None:
    target, broken = tmp_path / "launcher", tmp_path / "broken.c"
    target.write_text("the old one")
    broken.write_text("int main(void) { return undeclared; }\n")

    with pytest.raises(BuildError, match="undeclared"):
        make.compiled(target, "", sources=[broken])
    assert target.read_text() == "the old one"


@pytest.mark.parametrize("text", ["plain", 'a "b" \\ c\n', "%s?"])
def test_a_text_becomes_the_same_c_string(text: str, tmp_path: Path) -> None:
    source = tmp_path / "say.c"
    source.write_text(f"#include <stdio.h>\nint main(void) {{ return fputs({make.literal(text)}, stdout) < 0; }}\n")

    said = subprocess.run(
        [make.compiled(tmp_path / "say", "", ("gcc",), [source])], capture_output=True, check=True
    ).stdout

    assert said.decode() == text


def test_the_launcher_stands_alone(tmp_path: Path) -> None:
    launcher = make.compiled(tmp_path / "launcher", launchers.FACTS)

    headers = subprocess.run(["readelf", "-lW", launcher], capture_output=True, text=True, check=True).stdout
    segments = {line.split()[0]: line for line in headers.splitlines() if line.startswith("  ") and line.split()}
    assert "INTERP" not in segments
    assert " RW " in segments["GNU_STACK"]
