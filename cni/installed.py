"""Reports an incomplete installation: a program with an unreadable file answers in the protocol's form.

It is used when another module cannot be imported, so it imports nothing but sys. What the interpreter itself lacks
before the first line runs is reported on stderr only.
"""

from __future__ import annotations

import sys

REMEDY = "a file of the installation is missing, cut short or on a disk that fails (dmesg tells): install tulle again"
LIMITS = "free memory and open files, or raise the limits of the runtime's service (LimitNOFILE, MemoryMax)"


def unreadable(failure: BaseException) -> str:
    """Return the path of the file, or the module, that could not be loaded; empty when `failure` is of another kind."""
    if isinstance(failure, LookupError) and str(failure).startswith("unknown encoding: "):
        return _place(f"encodings.{str(failure).partition(': ')[2]}")
    bare = getattr(failure, "obj", None) if isinstance(failure, AttributeError) else None
    if isinstance(failure, ImportError):  # nothing can be imported from it
        bare = sys.modules.get(failure.name or "")
    if isinstance(bare, type(sys)) and getattr(bare, "__file__", None) is None and hasattr(bare, "__path__"):
        return _place(f"{bare.__name__}.__init__")  # a package without it passes for a namespace
    trace = failure.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    seen = trace.tb_frame.f_locals if trace is not None else {}
    importing = trace is not None and trace.tb_frame.f_code.co_filename.startswith("<frozen importlib")
    if not importing and not isinstance(failure, ImportError):
        return ""
    named = str(getattr(failure, "filename", None) or getattr(failure, "path", None) or "")
    package, at_package, _ = named.partition("__init__.")
    if at_package and str(failure).startswith("cannot import name '"):  # what a package lacks is a module of it
        return f"{package}{str(failure).split(chr(39))[1]}.pyc"
    found = (seen[each] for each in WHERE if seen.get(each))
    return _place(named or str(getattr(failure, "name", None) or next(found, "?")))


WHERE = ("bytecode_path", "path", "fullname", "name")
"""What the import system's functions call the file or module they work at."""


def _place(name: str) -> str:
    """Return the path of a module of a frozen program; elsewhere its name has to do. What is a path already stays one."""
    tree = getattr(sys, "_MEIPASS", "")
    if "/" in name:
        return name
    return f"{tree}/{name.replace('.', '/')}.pyc" if tree else f"module {name}"


def what(failure: BaseException) -> str:
    """Return what is wrong, in a line."""
    reason = getattr(failure, "strerror", None) or str(failure) or type(failure).__name__
    file = unreadable(failure)
    return f"an installed file cannot be read: {file}: {reason}" if file else f"the program cannot start: {reason}"


def message(failure: BaseException) -> str:
    """Return what is wrong and what to do about it, in a line."""
    return f"{what(failure)}: {_remedy(failure)}"


def document(failure: BaseException) -> str:
    """Return the error document, written by hand: what writes JSON may be what is missing."""
    told, remedy = plain(what(failure)), plain(_remedy(failure))
    return f'{{"cniVersion": "1.1.0", "code": 5, "msg": "{told}", "remedy": "{remedy}"}}'


def _remedy(failure: BaseException) -> str:
    return REMEDY if unreadable(failure) else LIMITS


def plain(text: str) -> str:
    """Return `text` with a question mark for what JSON or ASCII would have to escape."""
    return "".join(letter if " " <= letter <= "~" and letter not in '"\\' else "?" for letter in text)
