"""Writes in Markdown what the schemas of our files know, so that no page repeats a key by hand.

What a schema says about two keys together is left out.
"""

import json
from collections.abc import Iterator
from typing import Any

from build.manual.markdown import marked, table
from build.programs import ROOT

FOLDER = ROOT / "conf" / "schema"

Schema = dict[str, Any]


def keys(schema: str) -> str:
    """Return a table of the keys of a schema's objects. `schema` is a file of conf/schema/."""
    rows = ((f"`{path}`", _kind(part), marked(part.get("description", ""))) for path, part in _parts(schema))
    return table(("key", "type", "meaning"), rows)


def paths(schema: str) -> list[str]:
    """Return the keys in a schema, each as its path: `ipam.ranges[][].subnet`."""
    return [path for path, _ in _parts(schema)]


def _parts(schema: str) -> Iterator[tuple[str, Schema]]:
    document = _load(schema)
    top = document if "properties" in document else _resolved(document["$defs"]["plugin"], schema)
    yield from _below(top, schema, "")


def _load(schema: str) -> Schema:
    loaded: Schema = json.loads((FOLDER / schema).read_text())
    return loaded


def _resolved(part: Schema, schema: str) -> Schema:
    """Return a part of a schema with what it refers to. Its own words win."""
    if "$ref" not in part:
        return part
    file, _, place = part["$ref"].partition("#")
    found: Any = _load(file or schema)
    for step in place.split("/")[1:]:
        found = found[step]
    other = _resolved(found, file or schema)
    properties = {**_placed(other.get("properties", {}), file), **part.get("properties", {})}
    return {**_placed(other, file), **part, **({"properties": properties} if properties else {})}


def _placed(part: Any, file: str) -> Any:
    """Return a part with its references written as in another file."""
    if isinstance(part, dict):
        return {
            key: f"{file}{value}" if key == "$ref" and value.startswith("#") else _placed(value, file)
            for key, value in part.items()
        }
    return [_placed(each, file) for each in part] if isinstance(part, list) else part


def _below(part: Schema, schema: str, above: str) -> Iterator[tuple[str, Schema]]:
    for key, value in part.get("properties", {}).items():
        one = _resolved(value, schema)
        yield f"{above}{key}", one
        within, steps = one, f"{above}{key}"
        while "items" in within:
            within, steps = _resolved(within["items"], schema), f"{steps}[]"
        yield from _below(within, schema, f"{steps}.")


def _kind(part: Schema) -> str:
    """Return what kind of value it may be."""
    if "enum" in part or "const" in part:
        words = [part["const"]] if "const" in part else part["enum"]
        return ", ".join(f"`{word}`" for word in words if word)
    named = part.get("type", [])
    kinds = [kind for kind in ([named] if isinstance(named, str) else named) if kind != "null"]
    limits = f", {part['minimum']} to {part['maximum']}" if "minimum" in part and "maximum" in part else ""
    return " or ".join(kinds) + limits
