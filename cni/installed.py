"""Tells of an installed file that cannot be read: a program that is not whole says so in the protocol's words, not by a traceback.

It is what is left when another module cannot be had, so it imports nothing but sys. Blind spot: what the interpreter needs before it
runs a line of ours ends it with words on stderr alone.
"""

from __future__ import annotations

import sys

REMEDY = "a file of the installation is missing, cut short or on a disk that fails (dmesg tells): install tulle again"


def unreadable(failure: BaseException) -> str:
    """Return the path of the file, or the module, that the import system failed to load; empty when `failure` is of another kind."""
    trace = failure.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    within = trace is not None and trace.tb_frame.f_code.co_filename.startswith("<frozen importlib")
    if not within and not isinstance(failure, ImportError):
        return ""
    named = str(getattr(failure, "filename", None) or getattr(failure, "path", None) or "")
    package, at_package, _ = named.partition("__init__.")
    if at_package and str(failure).startswith("cannot import name '"):  # what a package lacks is a module of it
        named = f"{package}{str(failure).split(chr(39))[1]}.pyc"
    return str(named or _module(failure, trace.tb_frame.f_locals if trace is not None else {}))


def _module(failure: BaseException, seen: dict[str, object]) -> str:
    """Return where the module lies that was asked for: an ImportError knows its name, the import system its path."""
    name = (
        getattr(failure, "name", None)
        or seen.get("bytecode_path")
        or seen.get("path")
        or seen.get("fullname")
        or seen.get("name")
    )
    if not name or "/" in str(name):
        return str(name or "a module")
    tree = getattr(sys, "_MEIPASS", "")  # of a frozen program
    return f"{tree}/{str(name).replace('.', '/')}.pyc" if tree else f"module {name}"


def message(failure: BaseException) -> str:
    """Return what is wrong, in a line."""
    reason = getattr(failure, "strerror", None) or str(failure) or type(failure).__name__
    return f"an installed file cannot be read: {unreadable(failure) or 'which one is unknown'}: {reason}"


def document(failure: BaseException) -> str:
    """Return the error document, written by hand: what writes JSON may be what is missing."""
    return f'{{"cniVersion": "1.1.0", "code": 5, "msg": "{plain(message(failure))}", "remedy": "{plain(REMEDY)}"}}'


def plain(text: str) -> str:
    """Return `text` with a question mark for what JSON or ASCII would have to escape."""
    return "".join(letter if " " <= letter <= "~" and letter not in '"\\' else "?" for letter in text)
