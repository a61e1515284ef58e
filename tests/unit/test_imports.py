"""Claims about the imports of the whole product, those for type checkers among them:

- the graph holds every module of every package that is frozen
- no module imports itself by way of others
- a circle would be found
"""

import sys
from graphlib import CycleError, TopologicalSorter

import grimp
import pytest

from build.programs import PACKAGES, ROOT

ROOTS = [name for name in PACKAGES if (ROOT / name / "__init__.py").exists()]


def order(graph: grimp.ImportGraph) -> list[str]:
    """Every module after all that it imports; CycleError names the modules of a circle."""
    return list(
        TopologicalSorter(
            {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
        ).static_order()
    )


@pytest.fixture
def product(monkeypatch: pytest.MonkeyPatch) -> grimp.ImportGraph:
    monkeypatch.setattr(sys, "path", [str(ROOT), *sys.path])
    return grimp.build_graph(*ROOTS, cache_dir=None)


def test_every_module_is_looked_at(product: grimp.ImportGraph) -> None:
    files = [path.relative_to(ROOT).with_suffix("") for name in ROOTS for path in (ROOT / name).rglob("*.py")]

    assert set(product.modules) == {".".join(file.parts).removesuffix(".__init__") for file in files}


def test_no_module_imports_itself_by_way_of_others(product: grimp.ImportGraph) -> None:
    assert set(order(product)) == set(product.modules)


def test_a_circle_would_be_found(product: grimp.ImportGraph) -> None:
    product.add_import(importer="cni.request", imported="cni.in_process")

    with pytest.raises(CycleError, match=r"cni\.request"):
        order(product)
