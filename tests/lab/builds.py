"""Makes a tree of programs into another build: what an upgrade replaces must have another number. Must not know how it is installed."""

from pathlib import Path

from build import freeze
from build.launcher import make as launcher
from catalogue import CNI


def renumber(tree: Path) -> str:
    """Add one file to a tree, compile its launcher for the number it has then, and return that."""
    (tree / "_internal" / "another").touch()
    number = freeze.build_id(tree)
    (tree / freeze.BUILD_ID).write_text(f"{number}\n")
    programs = [program.load() for program in CNI.values()]
    launcher.compiled(tree / "launcher", launcher.facts(programs, number))
    return number
