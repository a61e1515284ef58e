"""Claims about the one list of CNI programs:

- a program that is entered there, and nowhere else, is started, served by the agent, built, judged by `tulle lint` and described
- what an entry names is there: its program under the same name, its parsers, its schema, which the whole schemas lead to, its page
- nothing else of the product or the build lists the programs

Not covered: the launcher's answers to VERSION (tests/e2e/test_frozen.py asks the built one for every entry).
"""

import ast
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from build.programs import PACKAGES, ROOT
from catalogue import CNI, IPAM, Entry
from cli.linting import schemas

MODULE = """
from cni.program import Program

PROGRAM = Program("probe", dict, about="tulle probe: looks around")
"""
CONFIG = """
from cni.errors import CniError, Code

def parse(request):
    if request.config.number("depth") > 3:
        raise CniError(Code.INVALID_CONFIG, 'invalid value of "depth"', "at most 3")
"""
SCHEMA = {"properties": {"depth": {"type": "integer"}, "width": {"type": "integer"}}}
PAGE = """# The program `probe`

## What it does

It looks around, and down.
"""
LISTED = """ENTRIES = (
    Entry("probe", "main.probe.program", INTERFACE, parsers=("main.probe.config:parse",), schema="probe.json", page="plugins/probe.md"),
"""
ASKED = """
import json
from agent.catalogue import PROGRAMS as served
from build.manual.sources import pages
from build.programs import PROGRAMS as built
from cli.commands import lint
from cli.linting import chain

(page,) = (page for page in pages() if page.name == "tulle-probe")
print(json.dumps({
    "served": served["probe"].about,
    "built": [program.place for program in built if program.name == "probe"],
    "known": "probe" in chain.MAKING,
    "judged": [(each.path, each.problem) for each in lint.of_one(
        {"cniVersion": "1.0.0", "name": "net", "type": "probe", "depth": 5, "widht": 1}
    )],
    "described": page.markdown(),
}))
"""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout with one program more, entered once."""
    root = tmp_path_factory.mktemp("checkout")
    for name in (*PACKAGES, "build", "docs"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    (root / "pyproject.toml").symlink_to(ROOT / "pyproject.toml")
    folder = root / "main" / "probe"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "program.py").write_text(MODULE)
    (folder / "config.py").write_text(CONFIG)
    (root / "conf" / "schema" / "probe.json").write_text(json.dumps(SCHEMA))
    (root / "docs" / "plugins" / "probe.md").write_text(PAGE)
    listed = root / "catalogue" / "__init__.py"
    listed.write_text(listed.read_text().replace("ENTRIES = (\n", LISTED))
    return root


def output(tree: Path, *words: str, **environ: str) -> str:
    done = subprocess.run([sys.executable, *words], cwd=tree, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_program_entered_once_is_started(tree: Path) -> None:
    assert "1.1.0" in json.loads(output(tree, "-m", "build.entry", "probe", CNI_COMMAND="VERSION"))["supportedVersions"]


def test_a_program_entered_once_is_known_everywhere(tree: Path) -> None:
    told = json.loads(output(tree, "-c", ASKED))

    assert "It looks around, and down." in told.pop("described")
    assert told == {
        "served": "tulle probe: looks around",
        "built": ["cni/probe"],
        "known": True,
        "judged": [["$.widht", "nobody reads this key"], ["$.depth", 'invalid value of "depth"']],
    }


@pytest.mark.parametrize("entry", CNI.values(), ids=list(CNI))
def test_what_an_entry_names_is_there(entry: Entry) -> None:
    assert entry.load().name == entry.name
    assert (ROOT / "docs" / entry.page).is_file()
    for parser in entry.parsers:
        module, _, function = parser.partition(":")
        assert callable(getattr(import_module(module), function))
    if entry.schema:
        whole = (schemas.FOLDER / ("ipam.json" if entry.role == IPAM else "plugin.json")).read_text()
        assert f'"const": "{entry.name}"' in whole
        assert f'"{entry.schema}#/$defs/plugin"' in whole


def lists(path: Path) -> Iterator[tuple[str, int]]:
    """Yield where three programs and more are written side by side, or imported."""
    modules = {entry.module for entry in CNI.values()}
    tree = ast.parse(path.read_text())
    imported = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    found = {alias.name for node in imported if isinstance(node, ast.Import) for alias in node.names} & modules
    found |= {node.module for node in imported if isinstance(node, ast.ImportFrom) and node.module in modules}
    if len(found) > 1:
        yield str(path.relative_to(ROOT)), 0
    for node in ast.walk(tree):
        if not isinstance(node, ast.Dict | ast.List | ast.Set | ast.Tuple):
            continue
        elements = node.keys if isinstance(node, ast.Dict) else node.elts
        names = {element.value for element in elements if isinstance(element, ast.Constant)} & set(CNI)
        if len(names) > 2:
            yield str(path.relative_to(ROOT)), node.lineno


def test_no_second_list_stands() -> None:
    paths = [path for name in (*PACKAGES, "build") for path in (ROOT / name).rglob("*.py")]

    assert [place for path in paths for place in lists(path)] == []


def test_a_second_list_would_be_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    (tmp_path / "names.py").write_text('KNOWN = ("bridge", "portmap", "tuning")\n')
    (tmp_path / "loads.py").write_text("import bridge.program\nfrom ipam.static import PROGRAM\n")

    assert [*lists(tmp_path / "names.py"), *lists(tmp_path / "loads.py")] == [("names.py", 1), ("loads.py", 0)]
