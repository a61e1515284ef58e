"""Converts JSON that others wrote to typed values, as the reference decoder does; errors name the path of the key.

The reference is a Go program: keys of objects match in any case, the last duplicate wins, null means "not given", and
no type is converted to another (docs/reference/cni.md 1.7). Keys of maps (sysctl, capabilities) must match exactly:
read those through `mapping`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from types import MappingProxyType

from cni import addresses
from cni.errors import CniError, Code, quoted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from typing import Any, NoReturn

    from system.ip import IPAddress, IPInterface

LOWEST, HIGHEST = -(2**63), 2**63 - 1
"""The bounds of the reference's integers."""

NETWORK = "an address/length such as 10.1.0.5/24"
DEEPEST = 1000
"""How many objects and lists may lie in each other."""

SHOWN = 80
"""How many characters of a wrong value an error repeats."""


def decode(data: bytes) -> JsonObject:
    """Return the JSON object `data` holds; null counts as an empty one. Raises CniError 6 for anything else."""
    document = load(data)
    if document is None:
        return JsonObject({})
    if not isinstance(document, dict):
        raise CniError(Code.DECODING_FAILURE, f"error decoding JSON: expected an object, got {_shown(document)}")
    return JsonObject(document)


def _bound(document: Any) -> None:
    """Raise RecursionError where a value is nested deeper than DEEPEST: since Python 3.12 json itself takes far more than what reads it."""
    layer, depth = [document], 0
    while layer := [inner for value in layer for inner in _members(value)]:
        depth += 1
        if depth > DEEPEST:
            raise RecursionError


def _members(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def load(data: bytes) -> Any:
    """Return the JSON value `data` holds, as strict as RFC 8259 (UTF-8, no NaN). Raises CniError 6."""
    try:
        text = data.decode("utf-8")
        document = json.loads(text, parse_constant=_no_constant)
        if text.count("[") + text.count("{") > DEEPEST:
            _bound(document)
        return _mended(document) if "\\ud" in text.lower() else document
    except RecursionError as deep:
        raise CniError(
            Code.DECODING_FAILURE, "error decoding JSON: nested too deeply", details=_beginning(data)
        ) from deep
    except ValueError as wrong:
        raise CniError(Code.DECODING_FAILURE, f"error decoding JSON: {wrong}", details=_beginning(data)) from wrong


def repeated(data: bytes, *path: str) -> tuple[str, ...]:
    """Return the keys written more than once in the object that `path` leads to; a missing object has none.

    Raises CniError 6 for bytes that are not JSON. Only for maps whose duplicates must be refused (docs/reference/cni.md
    4.4).
    """
    load(data)
    found: Any = json.loads(data.decode("utf-8"), object_pairs_hook=_Pairs)
    for key in path:
        members = found if isinstance(found, _Pairs) else ()
        found = next((value for name, value in reversed(members) if name.casefold() == key.casefold()), None)
    names = [name for name, _ in found] if isinstance(found, _Pairs) else []
    return tuple(name for name in dict.fromkeys(names) if names.count(name) > 1)


@dataclass(frozen=True, slots=True)
class JsonObject:
    """One JSON object and where it stands; getters return typed values or raise CniError 7 naming the path.

    A key counts as absent when it is missing or null; getters then return their default.
    """

    members: Mapping[str, Any]
    """The members as decoded, with the keys as written."""
    path: str = ""
    """The path of the object in the document; empty for the whole."""
    folded: Mapping[str, Any] = field(init=False, repr=False, compare=False)
    """The members by key in lower case."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "folded", {key.casefold(): value for key, value in self.members.items()})

    def contains(self, key: str) -> bool:
        """Return whether `key` was written at all, be it as null."""
        return key.casefold() in self.folded

    def has(self, key: str) -> bool:
        """Return whether `key` has a value other than null."""
        return self.raw(key) is not None

    def raw(self, key: str) -> Any:
        """Return the undecoded value of `key`, None when absent."""
        return self.folded.get(key.casefold())

    def text(self, key: str, default: str = "") -> str:
        """Return a string; NUL is refused because no name or path may hold it."""
        value = self.raw(key)
        return default if value is None else self._text(key, value)

    def flag(self, key: str, *, default: bool = False) -> bool:
        """Return a bool; the words true and false in quotes are refused."""
        value = self.optional_flag(key)
        return default if value is None else value

    def optional_flag(self, key: str) -> bool | None:
        """Return a bool, or None where absent means something of its own."""
        value = self.raw(key)
        if value is not None and not isinstance(value, bool):
            self.refuse(key, value, "true or false without quotes")
        return value

    def number(self, key: str, default: int = 0, *, lowest: int | None = None, highest: int | None = None) -> int:
        """Return a whole number within the bounds, both included."""
        value = self.optional_number(key, lowest=lowest, highest=highest)
        return default if value is None else value

    def optional_number(self, key: str, *, lowest: int | None = None, highest: int | None = None) -> int | None:
        """Return a whole number within the bounds, or None where absent is not 0. `1.0` and `1e3` are refused."""
        value = self.raw(key)
        if value is None:
            return None
        low, high = LOWEST if lowest is None else lowest, HIGHEST if highest is None else highest
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            self.refuse(key, value, _number_wanted(lowest, highest))
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of strings, empty when absent."""
        return tuple(self._text(f"{key}[{index}]", value) for index, value in enumerate(self._list(key) or ()))

    def address(self, key: str) -> IPAddress | None:
        """Return an IP address; the empty string counts as absent."""
        text = self.text(key)
        try:
            return addresses.parse_address(text) if text else None
        except ValueError:
            self.refuse(key, text, "an IP address such as 10.1.0.1")

    def interface(self, key: str) -> IPInterface | None:
        """Return an address with its prefix length, host bits kept; the empty string is refused."""
        text = self.text(key)
        try:
            return addresses.parse_interface(text) if self.has(key) else None
        except ValueError:
            self.refuse(key, text, NETWORK)

    def required_interface(self, key: str) -> IPInterface:
        """Return what `interface` does; an absent key is refused too."""
        value = self.interface(key)
        if value is None:
            raise CniError(Code.INVALID_CONFIG, f'missing "{self.where(key)}"', f"expected {NETWORK}")
        return value

    def section(self, key: str) -> JsonObject | None:
        """Return the object below `key`."""
        value = self.raw(key)
        return None if value is None else self._section(key, value)

    def sections(self, key: str) -> tuple[JsonObject, ...] | None:
        """Return a list of objects, None when absent; a null element counts as an empty object."""
        elements = self._list(key)
        return None if elements is None else self._sections(key, elements)

    def section_lists(self, key: str) -> tuple[tuple[JsonObject, ...], ...] | None:
        """Return a list of lists of objects (host-local's `ranges`), None when absent."""
        lists = self._list(key)
        if lists is None:
            return None
        for index, elements in enumerate(lists):
            if not isinstance(elements, list):
                self.refuse(f"{key}[{index}]", elements, "a list of objects")
        return tuple(self._sections(f"{key}[{index}]", elements) for index, elements in enumerate(lists))

    def mapping(self, key: str) -> Mapping[str, Any]:
        """Return the object below `key` with its keys exactly as written, empty when absent."""
        section = self.section(key)
        return MappingProxyType({} if section is None else dict(section.members))

    def unknown(self, known: Collection[str]) -> Mapping[str, Any]:
        """Return the members whose keys are not among the `known` ones (given in lower case), as written."""
        return MappingProxyType({key: value for key, value in self.members.items() if key.casefold() not in known})

    def where(self, key: str) -> str:
        """Return the path of `key` from the root, like ipam.ranges[0][1].subnet."""
        return f"{self.path}.{key}" if self.path else key

    def refuse(self, key: str, value: Any, wanted: str) -> NoReturn:
        """Raise CniError 7 for a `value` of `key` that is not `wanted`."""
        raise CniError(
            Code.INVALID_CONFIG, f'invalid value of "{self.where(key)}": got {_shown(value)}', f"expected {wanted}"
        )

    def _text(self, key: str, value: Any) -> str:
        if not isinstance(value, str):
            self.refuse(key, value, "a string")
        if "\0" in value:
            self.refuse(key, value, "a string without NUL characters")
        return value

    def _list(self, key: str) -> list[Any] | None:
        value = self.raw(key)
        if value is not None and not isinstance(value, list):
            self.refuse(key, value, "a list")
        return value

    def _section(self, key: str, value: Any) -> JsonObject:
        if not isinstance(value, dict):
            self.refuse(key, value, "an object")
        return JsonObject(value, self.where(key))

    def _sections(self, key: str, elements: list[Any]) -> tuple[JsonObject, ...]:
        return tuple(
            self._section(f"{key}[{index}]", {} if element is None else element)
            for index, element in enumerate(elements)
        )


class _Pairs(list[tuple[str, "Any"]]):
    """A JSON object before duplicates are dropped."""


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _mended(value: Any) -> Any:
    """Replace halves of surrogate pairs, which no file name or stream can carry, as the reference's decoder does."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_mended(element) for element in value]
    if isinstance(value, dict):
        return {_mended(key): _mended(element) for key, element in value.items()}
    return value


def _shown(value: Any) -> str:
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def _beginning(data: bytes) -> str:
    if not data.strip():
        return "there was no text: expected one JSON object"
    return f"it begins with {quoted(data[:SHOWN].decode('utf-8', 'backslashreplace'))}"


def _number_wanted(lowest: int | None, highest: int | None) -> str:
    if lowest is None and highest is None:
        return "a whole number"
    if highest is None:
        return f"a whole number of at least {lowest}"
    return f"a whole number between {LOWEST if lowest is None else lowest} and {highest}"
