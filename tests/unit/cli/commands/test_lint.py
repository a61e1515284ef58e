"""Claims: `tulle lint` tells every mistake of every file, to people and to programs, and exits 1 when there is one; a list
is judged plugin by plugin with its own name and version; a file that cannot be judged is a mistake, not a traceback.
"""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.commands import lint
from cli.main import main

BRIDGE: dict[str, Any] = {"type": "bridge", "ipam": {"type": "host-local", "subnet": "10.1.0.0/24"}}


def paths(document: Any) -> list[str]:
    return [each.path for each in lint.mistakes_of(json.dumps(document).encode())]


def listed(*plugins: Any, **keys: Any) -> dict[str, Any]:
    return {"cniVersion": "1.0.0", "name": "net", "plugins": list(plugins), **keys}


@pytest.fixture
def wrong(tmp_path: Path) -> str:
    path = tmp_path / "10-net.conflist"
    path.write_text(json.dumps(listed({**BRIDGE, "mtu": "x", "vlan": 5000})))
    return str(path)


def test_mistakes_are_told_to_people(wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lint", wrong]) == 1
    shown = capsys.readouterr().out
    assert f'{wrong}: $.plugins[0].mtu: got "x"\n    Expected a whole number.' in shown
    assert f"{wrong}: $.plugins[0].vlan: got 5000\n" in shown


def test_mistakes_are_told_to_programs(wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lint", "--json", wrong]) == 1
    (first, second) = json.loads(capsys.readouterr().out)[wrong]
    assert first["remedy"].startswith("Expected a whole number.")
    assert {**first, "remedy": ""} == {"path": "$.plugins[0].mtu", "problem": 'got "x"', "remedy": ""}
    assert second["path"] == "$.plugins[0].vlan"


def test_one_bad_file_among_good_ones_is_exit_1(wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    good = str(Path("conf/10-tulle.conflist").resolve())
    assert (main(["lint", good]), main(["lint", good, wrong])) == (0, 1)
    assert f"{good}: no mistakes" in capsys.readouterr().out


def test_a_file_may_come_from_stdin(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"{}")))
    assert main(["lint", "-"]) == 1
    assert "-: $.name: missing" in capsys.readouterr().out


def test_a_file_that_is_not_there_is_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lint", "/no/such/file"]) == 1
    assert "/no/such/file: $: cannot be read: No such file or directory" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("document", "found"),
    [
        (listed(BRIDGE), []),
        (listed(), ["$.plugins"]),
        (listed({"type": "bridge"}, {}), ["$.plugins[1].type"]),
        (listed(5), ["$.plugins[0]"]),
        ({**listed(BRIDGE), "name": "a b"}, ["$.name"]),
        ({**listed(BRIDGE), "cniVersion": "9.0.0"}, ["$.cniVersion"]),
        ({"cniVersion": "1.0.0", "name": "net", "Plugins": [BRIDGE]}, ["$.Plugins"]),
        (listed(BRIDGE, disableCheck="TRUE", cniVersions=["1.0.0", "1.1.0"]), []),
        (listed(BRIDGE, disableCheck="yes"), ["$.disableCheck"]),
        ({"name": "net", "loadOnlyInlinedPlugins": True}, ["$.plugins"]),
        (listed({**BRIDGE, "IpMasq": "x"}), ["$.plugins[0].ipMasq"]),
        (listed({"type": "macvlan", "ipam": {"type": "host-local"}}), ["$.plugins[0].ipam"]),
        (
            listed({"type": "bridge", "ipam": {"type": "static", "addresses": [{}]}}),
            ["$.plugins[0].ipam.addresses[0].address"],
        ),
    ],
)
def test_a_list_is_judged_plugin_by_plugin(document: Any, found: list[str]) -> None:
    assert paths(document) == found


@pytest.mark.parametrize(
    ("document", "found"),
    [
        ({"name": "net", **BRIDGE}, []),
        ({"NAME": "net", **BRIDGE}, []),
        ({"name": "net", "type": "loopback"}, []),
        ({"type": "bridge"}, ["$.name"]),
        ({"name": "net", "type": "../bridge"}, ["$.type"]),
        ({"name": "net", "type": "bridge", "mtu": -1, "vlan": "1"}, ["$.mtu", "$.vlan"]),
        ([], ["$"]),
        (None, ["$"]),
    ],
)
def test_a_configuration_of_one_program_is_judged(document: Any, found: list[str]) -> None:
    assert paths(document) == found


@pytest.mark.parametrize("text", [b"", b"{", b"\xff", b"[" * 100_000, b'{"name": NaN}'])
def test_what_is_no_json_is_one_mistake(text: bytes) -> None:
    (mistake,) = lint.mistakes_of(text)
    assert (mistake.path, "error decoding JSON" in mistake.problem, bool(mistake.remedy)) == ("$", True, True)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["name", "type", "plugins", "ipam", "Ipam", "ranges", "subnet", "vlanTrunk", "args"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


LONG = "x" * 300


@pytest.mark.parametrize(
    ("keys", "place", "fragment"),
    [
        ({"type": "portmap", "markMasqBit": 5, "externalSetMarkChain": "X"}, ("markMasqBit",), "Keep one of"),
        ({"type": LONG}, None, ""),
        ({"type": "../../conf/schema/bridge"}, ("type",), "a file in the directories of CNI_PATH"),
    ],
)
def test_what_the_fuzzer_found_is_judged(keys: dict[str, Any], place: tuple[str, ...] | None, fragment: str) -> None:
    found = lint.mistakes_of(json.dumps({"cniVersion": "1.0.0", "name": "net", **keys}).encode())

    assert place is None or [fragment in one.remedy for one in found if one.place == place] == [True]


@given(JSON)
def test_any_document_is_judged_without_a_traceback(document: Any) -> None:
    assert isinstance(paths(document), list)
