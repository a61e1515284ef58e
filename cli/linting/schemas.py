"""Holds a decoded configuration against the schemas in conf/schema, and tells every difference in words.

The runtime path never comes here: programs decide with their typed parsers, and jsonschema costs a tenth of a second.
Must not know files or programs.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from cli.linting.finding import Finding, is_object
from cni import addresses

FOLDER = Path(__file__).resolve().parents[2] / "conf" / "schema"

EXACT = frozenset({"capabilities", "sysctl"})
"""Maps, whose keys are whatever the user calls things; all other objects' keys match in any case (docs/reference/cni.md 1.7)."""

SHOWN = 80
"""How many characters of a wrong value a mistake repeats."""

TYPES = {
    "boolean": "true or false without quotes",
    "integer": "a whole number",
    "string": "a string",
    "array": "a list",
    "object": "an object",
}


class Broken(Protocol):
    """What jsonschema tells of one broken rule: the rule, the value, the schema around the rule, and the place."""

    validator: str
    validator_value: Any
    instance: Any
    schema: dict[str, Any]
    absolute_path: Sequence[str | int]
    cause: Exception | None


class Judge(Protocol):
    """A schema made ready by jsonschema."""

    def iter_errors(self, document: Any) -> Iterable[Broken]:
        """Yield every broken rule."""


def mistakes(document: Any, schema: str) -> list[Finding]:
    """Return every difference between `document` and the schema in the file `schema`, in the document's order.

    Keys are expected as `spelled` writes them.
    """
    found = sorted(
        _validator(schema).iter_errors(document), key=lambda error: [str(step) for step in error.absolute_path]
    )
    return list(dict.fromkeys(_mistake(error) for error in found))


def spelled(value: Any) -> Any:
    """Return `value` with keys as the schemas write them, because the programs take any case and the last one counts."""
    if isinstance(value, list):
        return [spelled(element) for element in value]
    if not is_object(value):
        return value
    members: dict[str, Any] = {}
    for key, member in value.items():
        name = _spellings().get(key.casefold(), key)
        members.pop(name, None)
        members[name] = member if name in EXACT else spelled(member)
    return members


def top_keys(schema: str) -> frozenset[str]:
    """Return the keys the schema in the file `schema` names at the top of a document."""
    return frozenset(_load(FOLDER / schema).get("properties", {}))


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys a schema names in an object, each with those inside; elements of a list count as the list's own."""

    inside: Mapping[str, "Keys"]


@cache
def keys(schema: str) -> Keys:
    """Return the keys that the schema in the file `schema` names, wherever it names them."""
    return _merged(list(_parts({"$ref": schema}, schema)))


def _merged(found: Sequence[tuple[str, dict[str, Any], str]]) -> Keys:
    parts: dict[str, list[tuple[str, dict[str, Any], str]]] = {}
    for name, part, file in found:
        parts.setdefault(name, []).extend(_parts(part, file))
    return Keys({name: _merged(each) for name, each in parts.items()})


def _parts(schema: Any, file: str) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Yield each property of a schema with its own schema and the file that stands in, through references, rules and elements."""
    if not is_object(schema):
        return
    if isinstance(reference := schema.get("$ref"), str):
        target, _, pointer = reference.partition("#")
        found = _load(FOLDER / (target or file))
        for step in pointer.split("/")[1:]:
            found = found[step]
        yield from _parts(found, target or file)
    for name, part in schema.get("properties", {}).items():
        yield name, part, file
    for rule in ("items", "then", "else"):
        yield from _parts(schema.get(rule), file)
    for rule in ("allOf", "anyOf", "oneOf"):
        for each in schema.get(rule, ()):
            yield from _parts(each, file)


@cache
def _load(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(path.read_text())
    return loaded


@cache
def _spellings() -> dict[str, str]:
    """Return every key the schemas name, by its folded form."""
    return {key.casefold(): key for path in FOLDER.glob("*.json") for key in _named(_load(path))}


def _named(schema: Any) -> Iterator[str]:
    members = schema.values() if is_object(schema) else schema if isinstance(schema, list) else ()
    if is_object(schema) and is_object(schema.get("properties")):
        yield from schema["properties"]
    for member in members:
        yield from _named(member)


@cache
def _validator(schema: str) -> Judge:
    import jsonschema  # noqa: PLC0415 - only lint pays for it
    from referencing import Registry  # noqa: PLC0415 - as above
    from referencing.jsonschema import DRAFT202012  # noqa: PLC0415 - as above

    registry = Registry().with_resources(
        (path.name, DRAFT202012.create_resource(_undeclared(_load(path)))) for path in sorted(FOLDER.glob("*.json"))
    )
    types = jsonschema.Draft202012Validator.TYPE_CHECKER.redefine("integer", _is_integer)
    strict = jsonschema.validators.extend(jsonschema.Draft202012Validator, type_checker=types)
    judge: Judge = strict({"$ref": schema}, registry=registry, format_checker=_formats())
    return judge


def _undeclared(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema without its dialect: jsonschema would judge by the dialect's own types from there on."""
    return {key: value for key, value in schema.items() if key != "$schema"}


def _is_integer(_: object, value: object) -> bool:
    """Refuse 1.0, which the standard takes for a whole number and the programs, like the reference, do not."""
    return isinstance(value, int) and not isinstance(value, bool)


def _formats() -> Any:
    from jsonschema import FormatChecker  # noqa: PLC0415 - only lint pays for it

    checker = FormatChecker(formats=())
    for name, read in FORMATS.items():
        checker.checks(name, raises=ValueError)(_check(read))
    return checker


def _check(read: Callable[[str], object]) -> Callable[[object], bool]:
    def holds(value: object) -> bool:
        if isinstance(value, str):
            read(value)
        return True

    return holds


def _address(text: str) -> None:
    if text:
        addresses.parse_address(text)


def _subnet(text: str) -> None:
    own = addresses.parse_interface(text)
    if own.network.prefixlen > own.max_prefixlen - 2:
        raise ValueError(f"{text} is too small to give addresses from")
    if own.ip != own.network.network_address:
        raise ValueError(f"{text} has host bits set")


def _exclusion(text: str) -> None:
    own = addresses.parse_interface(text) if "/" in text else None
    if own is None:
        addresses.parse_address(text)
    elif own.ip != own.network.network_address:
        raise ValueError(f"{text} has host bits set")


def _wish(text: str) -> None:
    (addresses.parse_interface if "/" in text else addresses.parse_address)(text)


FORMATS: Mapping[str, Callable[[str], object]] = {
    "ip-address": _address,
    "ip-cidr": addresses.parse_interface,
    "ip-subnet": _subnet,
    "ip-wish": _wish,
    "ip-exclusion": _exclusion,
}


def _mistake(error: Broken) -> Finding:
    place = tuple(error.absolute_path)
    if error.validator == "required":
        missing = next(key for key in error.validator_value if key not in error.instance)
        return Finding((*place, missing), "missing", f'add "{missing}"')
    remedy = " ".join((*_wanted(error), *_words(error)))
    return Finding(place, f"got {_shown(error.instance)}", remedy or "remove it")


def _wanted(error: Broken) -> Iterator[str]:
    """Yield the rule that was broken, where it can be said without the schema's own words."""
    value = error.validator_value
    if error.validator == "type":
        known = [name for name in ([value] if isinstance(value, str) else value) if name != "null"]
        yield from (
            [f"Expected {' or '.join(TYPES[name] for name in known)}."] if known else []
        )  # the words say what is in the way
    elif error.validator in ("enum", "const"):
        allowed = value if error.validator == "enum" else [value]
        yield f"Expected {', '.join(json.dumps(each) for each in allowed if each not in ('', None))}."
    elif error.validator in ("minimum", "maximum"):
        yield f"Expected a whole number between {error.schema.get('minimum')} and {error.schema.get('maximum')}."
    elif error.cause is not None:
        yield f"{str(error.cause).rstrip('.')}."


def _words(error: Broken) -> Iterator[str]:
    """Yield the words and the example the schema has for this place."""
    yield from [error.schema["description"]] if "description" in error.schema else []
    yield from [f"Like {json.dumps(example)}." for example in error.schema.get("examples", ())[:1]]


def _shown(value: Any) -> str:
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list" if value else "an empty list"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
