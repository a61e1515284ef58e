"""Claims about the edge of the driver:

- a refusal is exactly {"error": TEXT} and exit code 1, whatever was wrong; several failures are one text
- a setup whose answer cannot be delivered is torn down
- setup answers with one document, teardown with none, info with the two versions
- the advice for owners of a configuration file is left out
"""

import io
import json
from pathlib import Path
from typing import Any

import pytest

from driver import main
from tests.unit.driver.conftest import Programs
from tests.unit.driver.recorded import CREATE, SETUP


def call(programs: Programs, *words: str, told: Any = None) -> tuple[int, Any]:
    """Return the exit code and the document of one call."""
    stdin = io.BytesIO(told if isinstance(told, bytes) else json.dumps(told).encode())
    out, err = io.StringIO(), io.StringIO()
    environ = {"PATH": "/usr/bin:/bin"}
    path = str(programs.folder)
    status = main.run(words, environ=environ, stdin=stdin, stdout=out, stderr=err, path=path)
    return status, json.loads(out.getvalue() or "null")


def test_setup_answers_teardown_is_silent(programs: Programs) -> None:
    status, told = call(programs, "setup", "/run/netns/one", told=SETUP)

    assert (status, list(told)) == (0, ["interfaces", "dns_server_ips", "dns_search_domains"])
    assert call(programs, "teardown", "/run/netns/one", told=SETUP) == (0, None)


def test_a_setup_that_cannot_be_told_is_torn_down(programs: Programs) -> None:
    err = io.StringIO()
    status = main.run(
        ("setup", "/run/netns/one"),
        environ={"PATH": "/usr/bin:/bin"},
        stdin=io.BytesIO(json.dumps(SETUP).encode()),
        stdout=Path("/dev/full").open("w"),  # noqa: SIM115 - it is closed when it takes nothing
        stderr=err,
        path=str(programs.folder),
    )

    assert status == 1
    assert "cannot deliver the answer: [Errno 28] No space left on device: {" in err.getvalue()
    assert err.getvalue().endswith("tulle: the setup was undone\n")
    assert [each.split()[:2] for each in programs.calls()[2:]] == [["portmap", "DEL"], ["bridge", "DEL"]]


def test_create_answers_with_the_network(programs: Programs) -> None:
    status, told = call(programs, "create", told=CREATE)

    assert (status, told["id"], told["ipam_options"]) == (0, CREATE["id"], {"driver": "none"})


def test_info_tells_both_versions(programs: Programs) -> None:
    status, told = call(programs, "info")

    assert (status, told["api_version"], set(told)) == (0, "1.0.0", {"version", "api_version"})


@pytest.mark.parametrize(
    ("words", "told", "text"),
    [
        (("create",), b"{", "error decoding JSON: "),
        (("create",), b"[]", "error decoding JSON: expected an object"),
        (("create",), {**CREATE, "subnets": [{"subnet": "10.9.0.0/24"}]}, "a network of this driver has no subnet"),
        (("setup",), SETUP, "wrong usage: tulle setup: netavark calls create, setup NETNS"),
        (("setup", "/run/netns/one", "more"), SETUP, "wrong usage"),
        (("setup", "/run/netns/one"), {}, 'missing "network_options"'),
        (("teardown", "/run/netns/one"), {**SETUP, "container_id": 7}, 'invalid value of "container_id": got 7'),
    ],
)
def test_a_refusal_is_one_error_text(programs: Programs, words: tuple[str, ...], told: Any, text: str) -> None:
    status, document = call(programs, *words, told=told)

    assert (status, list(document)) == (1, ["error"])
    assert text in document["error"]


def test_several_failures_are_one_text(programs: Programs) -> None:
    for name in ("portmap", "bridge"):
        programs.refuse(name, "DEL", f"{name} is busy")

    assert call(programs, "teardown", "/run/netns/one", told=SETUP) == (1, {"error": "portmap is busy; bridge is busy"})


def test_a_bug_is_an_error_document_too(programs: Programs) -> None:
    (programs.folder / "answer").write_text('{"cniVersion": "1.1.0", "interfaces": [], "ips": []}')

    status, document = call(programs, "setup", "/run/netns/one", told=SETUP)
    assert (status, list(document)) == (1, ["error"])


def test_the_advice_to_lint_a_file_is_left_out() -> None:
    from cni.dispatch import ADVICE  # noqa: PLC0415 - the words in question
    from cni.errors import CniError  # noqa: PLC0415

    assert main._told(CniError(7, "bad value", f"expected more; {ADVICE}")) == "bad value: expected more"
    assert main._told(CniError(7, "bad value", ADVICE)) == "bad value"
