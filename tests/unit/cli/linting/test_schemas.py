"""Claims: every rule a schema breaks is told with the value, the rule, and the schema's words; keys match in any case
outside maps, the last one counts; every schema is one, every key has words for an editor's hover and one spelling.

Not covered: that schemas and parsers agree (tests/unit/conf/test_schema).
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from cli.linting import schemas

FILES = sorted(schemas.FOLDER.glob("*.json"))
BASE: dict[str, Any] = {"cniVersion": "1.0.0", "name": "net", "type": "bridge"}


def keys(schema: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(schema, dict):
        for name, member in schema.items():
            if name == "properties":
                yield from member.items()
            yield from keys(member)
    elif isinstance(schema, list):
        for member in schema:
            yield from keys(member)


@pytest.mark.parametrize(
    ("changes", "path", "problem", "remedy"),
    [
        ({"mtu": "x"}, "$.mtu", 'got "x"', "Expected a whole number. Bytes; "),
        ({"mtu": 1.0}, "$.mtu", "got 1.0", "Expected a whole number. "),
        ({"mtu": 70000}, "$.mtu", "got 70000", "Expected a whole number between 0 and 65535. "),
        ({"isGateway": "true"}, "$.isGateway", 'got "true"', "Expected true or false without quotes."),
        ({"ipMasqBackend": "ipfw"}, "$.ipMasqBackend", 'got "ipfw"', 'Expected "iptables", "nftables". What'),
        ({"name": "a/b"}, "$.name", 'got "a/b"', "The network's name, "),
        ({"name": "a\n"}, "$.name", 'got "a\\n"', "The network's name, "),
        ({"vlanTrunk": [{"minID": 5}]}, "$.vlanTrunk[0].maxID", "missing", 'add "maxID"'),
        ({"hairpinMode": True, "promiscMode": True}, "$.promiscMode", "got true", "Keep one of hairpinMode and"),
        ({"dns": {"search": "a"}}, "$.dns.search", 'got "a"', "Expected a list."),
        (
            {"ipam": {"type": "host-local", "subnet": "10.1.0.1/24"}},
            "$.ipam.subnet",
            'got "10.1.0.1/24"',
            "10.1.0.1/24 has host bits set. The network, host bits zero",
        ),
    ],
)
def test_a_broken_rule_is_told_with_the_value_and_the_remedy(
    changes: dict[str, Any], path: str, problem: str, remedy: str
) -> None:
    (mistake,) = schemas.mistakes({**BASE, **changes}, "plugin.json")
    assert (mistake.path, mistake.problem) == (path, problem)
    assert mistake.remedy.startswith(remedy)


def test_all_mistakes_are_told_at_once() -> None:
    wrong = {**BASE, "mtu": "x", "vlan": -1, "bridge": 5}
    assert {each.path for each in schemas.mistakes(wrong, "plugin.json")} == {"$.mtu", "$.vlan", "$.bridge"}


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ({"MTU": 5, "IsGateway": True}, {"mtu": 5, "isGateway": True}),
        ({"mtu": 5, "Mtu": 6}, {"mtu": 6}),
        ({"ipam": {"RANGES": [[{"Subnet": "x"}]]}}, {"ipam": {"ranges": [[{"subnet": "x"}]]}}),
        ({"capabilities": {"Mac": True}}, {"capabilities": {"Mac": True}}),
        ({"ownKey": {"Other": 1}}, {"ownKey": {"Other": 1}}),
    ],
)
def test_keys_match_in_any_case_and_the_last_counts(written: Any, expected: Any) -> None:
    assert schemas.spelled(written) == expected


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_schema_is_one(path: Path) -> None:
    schema = json.loads(path.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    assert (schema["$schema"], bool(schema["title"]), bool(schema["description"])) == (
        "https://json-schema.org/draft/2020-12/schema",
        True,
        True,
    )


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_key_has_words_for_an_editor(path: Path) -> None:
    schema = json.loads(path.read_text())
    bare = [name for name, key in keys(schema.get("$defs", {})) if not _described(key)]
    assert not bare


def test_every_key_has_one_spelling() -> None:
    names = {name for path in FILES for name, _ in keys(json.loads(path.read_text()))}
    assert len({name.casefold() for name in names}) == len(names)


def _described(key: dict[str, object]) -> bool:
    """Tell whether a hover shows something: here, or where the key's schema really stands."""
    file, _, name = str(key.get("$ref", "")).partition("#/$defs/")
    if {"description", "const", "not", "enum", "properties", "maxItems", "items"} & set(
        key
    ):  # all but the first stand in conditions
        return True
    if name in ("mac", "path", "wishes", "ranges", "routes", "dns", "ipam", "type", "name", "version", "capabilities"):
        return True
    return file == "common.json" and name == "text"
