"""Reads the list of valid attachments that a runtime passes to GC (specification 1.1.0, "GC").

libcni writes the list under the right key and under an old misspelling (containernetworking/cni#1101). An empty list
and no list are different: with no list nothing may be deleted.
"""

from cni.json_object import JsonObject

KEYS = ("cni.dev/valid-attachments", "cni.dev/attachments")

Attachment = tuple[str, str]
"""(container id, interface name), unique within one network."""


def valid(config: JsonObject) -> frozenset[Attachment] | None:
    """Return the attachments to keep; None when the runtime sent no list, so that nothing may be removed (docs/reference/cni.md 1.8).

    An empty list and JSON null both mean: keep none. Raises CniError 7 for entries of another shape: one that names no
    attachment would free somebody's address on a guess.
    """
    present = [key for key in KEYS if config.contains(key)]
    if not present:
        return None
    return frozenset(
        (_named(entry, "containerID"), _named(entry, "ifname"))
        for key in present
        for entry in config.sections(key) or ()
    )


def _named(entry: JsonObject, key: str) -> str:
    return entry.text(key) or entry.refuse(key, entry.raw(key), "the name the attachment was added under")
