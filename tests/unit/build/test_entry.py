"""Claims about the way into a program:

- what the bootloader put into the environment is taken back, and a caller's own library path returns
- a name of the table starts that program, from the checkout too, and an unknown one is refused with the names there are
- no two tables share a name; the words Podman calls its plugin with are no commands of people's
- nothing but the program's own modules is imported on the way to VERSION, and inspect with its dozen of modules for no verb
- a postponed module is the real one as soon as it is used
"""

import subprocess
import sys

import pytest

from build import entry
from build.programs import ROOT
from catalogue import CNI
from cli.main import main as people


@pytest.mark.parametrize(
    ("found", "left"),
    [
        ({"LD_LIBRARY_PATH": "/ours", "_PYI_LINUX_PROCESS_NAME": "x", "A": "b"}, {"A": "b"}),
        ({"LD_LIBRARY_PATH": "/ours:/theirs", "LD_LIBRARY_PATH_ORIG": "/theirs"}, {"LD_LIBRARY_PATH": "/theirs"}),
        ({"LD_LIBRARY_PATH": "/ours", "LD_LIBRARY_PATH_ORIG": ""}, {"LD_LIBRARY_PATH": ""}),
    ],
    ids=["none", "the caller's own", "an empty one"],
)
def test_the_callers_environment_is_restored(found: dict[str, str], left: dict[str, str]) -> None:
    entry.restore(found)

    assert found == left


def from_checkout(*words: str, options: tuple[str, ...] = (), **environ: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *options, "-m", "build.entry", *words]
    return subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)


def test_the_checkout_runs_a_program_by_its_name() -> None:
    assert from_checkout("host-local", CNI_COMMAND="VERSION").stdout.startswith('{"cniVersion": ')
    assert from_checkout("tulle", "--help").stdout.startswith("usage: tulle ")


@pytest.mark.parametrize("words", [(), ("brigde",)], ids=["none", "unknown"])
def test_another_name_is_refused_with_the_names_there_are(words: tuple[str, ...]) -> None:
    refused = from_checkout(*words)

    assert refused.returncode == 2
    assert "not a program of tulle; call it by the name of one: bandwidth, bridge, " in refused.stderr


def test_no_two_tables_share_a_name() -> None:
    assert len({*CNI, *entry.COMMANDS, *entry.HELPERS}) == sum(map(len, (CNI, entry.COMMANDS, entry.HELPERS)))


def test_podman_and_people_call_the_same_name_with_different_words() -> None:
    assert '"api_version": "1.0.0"' in from_checkout("tulle", "info").stdout
    for word in entry.DRIVER:
        with pytest.raises(SystemExit) as refused:
            people([word])
        assert refused.value.code == 2


def test_version_imports_nothing_but_the_program() -> None:
    traced = from_checkout("bridge", options=("-X", "importtime"), CNI_COMMAND="VERSION").stderr
    modules = [line.rsplit("|", 1)[1].strip() for line in traced.splitlines() if line.startswith("import time:")]

    after = modules[modules.index("runpy") + 1 :]
    assert {module.partition(".")[0] for module in after} <= {
        "__future__",
        "build",
        "bridge",
        "catalogue",
        "cni",
        "encodings",
        "gc",
    }


def test_no_verb_imports_inspect() -> None:
    traced = from_checkout("bridge", options=("-X", "importtime"), CNI_COMMAND="STATUS").stderr

    assert "| dataclasses\n" in traced.replace("  ", "")
    assert not {"ast", "dis", "tokenize"} & set(
        traced.replace("|", " ").split()
    )  # what inspect imports; its own name is put off


def test_a_postponed_module_is_the_real_one_when_used() -> None:
    code = """
import sys
from build.entry import postpone
postpone("inspect")
import inspect
assert "ast" not in sys.modules
from inspect import signature
assert inspect.signature is signature is sys.modules["inspect"].signature
assert str(signature(lambda one, two: None)) == "(one, two)"
try:
    inspect.nothing
except AttributeError as missing:
    print(missing)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout == "module 'inspect' has no attribute 'nothing'\n"
