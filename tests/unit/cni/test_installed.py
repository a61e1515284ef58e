"""Claims: what the import system cannot load is told with its path or name, whichever way it is bad, and nothing else is.

- a module that is missing, unreadable, cut short or of another Python
- the document is one whatever is in it
"""

import importlib.util
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cni import installed


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "victim.pyc").write_bytes(importlib.util.MAGIC_NUMBER + bytes(12) + b"\xe3")
    yield tmp_path
    sys.modules.pop("victim", None)


def failure() -> Exception:
    importlib.invalidate_caches()
    with pytest.raises((ImportError, EOFError, OSError)) as caught:
        __import__("victim")
    return caught.value


def test_a_module_cut_short_is_named_by_its_path(folder: Path) -> None:
    assert installed.unreadable(failure()) == f"{folder}/victim.pyc"


def test_a_module_of_another_python_is_named_by_its_path(folder: Path) -> None:
    (folder / "victim.pyc").write_bytes(bytes(64))
    assert installed.unreadable(failure()) == f"{folder}/victim.pyc"


def test_a_module_that_cannot_be_opened_is_named_by_its_path(folder: Path) -> None:
    (folder / "victim.pyc").unlink()
    (folder / "victim.pyc").symlink_to("/proc/self/mem")
    assert installed.unreadable(failure()) == f"{folder}/victim.pyc"


def test_a_module_that_is_missing_is_named(folder: Path) -> None:
    (folder / "victim.pyc").unlink()
    assert installed.unreadable(failure()) == "module victim"


def test_a_missing_module_of_a_frozen_program_is_named_by_its_path(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "victim.pyc").unlink()
    monkeypatch.setattr(sys, "_MEIPASS", "/lib/tulle", raising=False)
    assert installed.unreadable(failure()) == "/lib/tulle/victim.pyc"


@pytest.mark.parametrize("other", [OSError(5, "broken", "/run"), KeyError("a"), ValueError("odd")])
def test_what_does_not_come_from_importing_is_something_else(other: Exception) -> None:
    with pytest.raises(type(other)) as caught:
        raise other
    assert installed.unreadable(caught.value) == ""


def test_the_document_is_json_whatever_the_reason_holds() -> None:
    broken = ImportError('no "x" in größe\n\\', path=f"/lib/{os.sep}x")
    document = json.loads(installed.document(broken))
    assert (document["code"], document["remedy"]) == (5, installed.REMEDY)
    assert document["msg"] == "an installed file cannot be read: /lib//x: no ?x? in gr??e??"


def test_a_package_without_its_first_module_is_named(folder: Path) -> None:
    (folder / "bare").mkdir()
    bare = importlib.import_module("bare")
    with pytest.raises(AttributeError) as caught:
        bare.dumps  # noqa: B018
    assert installed.unreadable(caught.value) == "module bare.__init__"
    with pytest.raises(ImportError) as refused:
        exec("from bare import dumps")
    assert installed.unreadable(refused.value) == "module bare.__init__"


def test_an_encoding_that_cannot_be_loaded_is_named() -> None:
    with pytest.raises(LookupError) as caught:
        "".encode("absent")
    assert installed.unreadable(caught.value) == "module encodings.absent"


def test_what_else_keeps_a_program_from_starting_has_a_remedy_of_its_own() -> None:
    document = json.loads(installed.document(OSError(24, "Too many open files")))
    assert (document["msg"], document["remedy"]) == ("the program cannot start: Too many open files", installed.LIMITS)
