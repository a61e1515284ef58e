"""Compiles the launcher, and writes the header with every fact that it shares with the Python programs.

It uses musl, because a static program with glibc examines the processor before main() begins: on a virtual processor
that takes twice as long as everything else at a launcher's start. The tests compile the same sources with sanitizers,
which need glibc.
"""

import subprocess  # noqa: TID251 - the build runs the compiler
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from agent import protocol
from build.programs import BuildError
from cni import dispatch, skel, versions
from cni.errors import Code
from cni.program import Program

HOME = Path(__file__).resolve().parent
SOURCES = tuple(HOME / f"{name}.c" for name in ("cold", "commit", "main", "memory", "request", "version", "words"))
HEADER = "facts.h"

WARNINGS = (
    *("-Wall", "-Wextra", "-Wpedantic", "-Werror", "-Wcast-qual", "-Wconversion", "-Wsign-conversion", "-Wformat=2"),
    *("-Wmissing-prototypes", "-Wstrict-prototypes", "-Wnull-dereference", "-Wshadow", "-Wundef", "-Wvla"),
)
LANGUAGE = ("-std=c17", "-D_GNU_SOURCE")
SMALL = ("-Os", "-static", "-ffunction-sections", "-fdata-sections", "-Wl,--gc-sections,-z,noexecstack", "-s")
RELEASE = ("musl-gcc", *SMALL, "-fstack-protector-strong")
SANITIZED = ("gcc", "-O1", "-g", "-fno-omit-frame-pointer", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


def literal(text: str) -> str:
    """Return `text`, ASCII without control characters except newlines, as a C string."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def facts(programs: Iterable[Program], build_id: str) -> str:
    """Return the header: answers to VERSION, limits, codes, the protocol, and the id of the tree (64 hex digits)."""
    answers = (f"{{{literal(each.name)}, {literal(skel.version_document(each))}}}" for each in programs)
    defined = {
        "VERSION_TABLE": ", \\\n    ".join(answers),
        "BUILD_ID": ", ".join(str(byte) for byte in bytes.fromhex(build_id)),
        "NEWEST": literal(versions.NEWEST),
        "STDIN_BYTES": f"((size_t){dispatch.STDIN_BYTES})",
        "IO_FAILURE": int(Code.IO_FAILURE),
        "TRY_AGAIN_LATER": int(Code.TRY_AGAIN_LATER),
        "PROTOCOL": protocol.PROTOCOL,
        "INLINE_BYTES": f"((size_t){protocol.INLINE_BYTES})",
        "AGENT_SOCKET": literal(protocol.PATH),
    }
    lines = "".join(f"#define {name} {value}\n" for name, value in defined.items())
    return f"/* Written by build/launcher/make.py from the Python programs. */\n{lines}"


def compiled(target: Path, header: str, compiler: Sequence[str] = RELEASE, sources: Iterable[Path] = SOURCES) -> Path:
    """Compile `sources` with the facts in `header`, and return `target`. Raises BuildError.

    `compiler` ends with its flags.

    The new file replaces the old one by a rename: a runtime never starts an incomplete program.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_name(f".{target.name}.new")
    with tempfile.TemporaryDirectory() as generated:
        Path(generated, HEADER).write_text(header)
        include = (f"-I{generated}", f"-I{HOME}")
        command = [*compiler, *LANGUAGE, *WARNINGS, *include, *map(str, sources), "-o", str(fresh)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BuildError(f"{' '.join(command)}\nfailed (exit {done.returncode}):\n{done.stderr}{done.stdout}")
    return fresh.replace(target)
