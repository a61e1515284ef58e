"""The one error that ends a program, and the codes that let a runtime act on it.

Every refusal is raised as CniError up to the skeleton, which prints it. Codes 0 to 99 belong to the specification
(section "Error"), codes from 100 on are ours.
"""

from __future__ import annotations

import errno
from enum import IntEnum


class Code(IntEnum):
    """What a runtime can tell failures apart by."""

    INCOMPATIBLE_VERSION = 1
    UNSUPPORTED_FIELD = 2
    UNKNOWN_CONTAINER = 3
    INVALID_ENVIRONMENT = 4
    IO_FAILURE = 5
    DECODING_FAILURE = 6
    INVALID_CONFIG = 7
    INVALID_NETNS = 8
    TRY_AGAIN_LATER = 11
    NOT_AVAILABLE = 50
    LIMITED_CONNECTIVITY = 51
    KERNEL_REFUSED = 100
    NO_ADDRESS = 101
    CHECK_FAILED = 102
    CONFLICT = 103
    INTERNAL = 999


class CniError(Exception):
    """A refusal: `msg` says what and where, `remedy` what to do about it; `code` is for runtimes.

    `details` shows evidence, and the reference's words where it has some, never a remedy: runtimes print `msg;
    details`, and compare it whole (docs/decisions/0006-remedies.md). str() is all of it, for people.
    """

    def __init__(self, code: int, msg: str, remedy: str = "", *, details: str = "") -> None:
        super().__init__(msg)
        self.code = int(code)
        self.msg = msg
        self.details = details
        self.remedy = remedy

    def __str__(self) -> str:
        return ": ".join(filter(None, (self.msg, self.details, self.remedy)))


SYSTEM_REMEDIES = {
    errno.EACCES: "run it as root",
    errno.EPERM: "run it as root",
    errno.EROFS: "the file system is mounted read-only: mount it read-write",
    errno.ENOSPC: "the disk is full: free space or inodes there (df, df -i)",
    errno.EDQUOT: "the quota is used up: free space, or raise it",
    errno.EIO: "the disk fails: dmesg tells",
    errno.EMFILE: "this process has as many files open as it may: raise the runtime's limit (LimitNOFILE, ulimit -n)",
    errno.ENFILE: "the host has as many files open as it may: raise sysctl fs.file-max",
    errno.ENOMEM: "no memory is left: free some, or raise the memory limit of the runtime's control group",
    errno.EAGAIN: "no process can be started: raise pids.max of the runtime's control group and ulimit -u, or try again",
    errno.ENAMETOOLONG: "a file name has at most 255 bytes: shorten it",
}
"""What to do about what the system refuses a program that asks for a file or a process; what is asked of the kernel's network knows itself."""


class RelayedError(CniError):
    """A refusal another program printed, on its way to the runtime: nobody adds a word to it (docs/reference/cni.md 8, trap 13)."""


_ESCAPES = {
    '"': '\\"', "\\": "\\\\", "\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v",
}  # fmt: skip


def quoted(text: str) -> str:
    r"""Return `text` in double quotes with backslash escapes, as Go's %q prints it (docs/reference/cni.md 8, trap 8).

    Operators and suites compare such text, so Python's repr will not do: quoted("a'\n") is `"a'\n"` with a backslash.
    """
    return f'"{"".join(_escaped(letter) for letter in text)}"'


def _escaped(letter: str) -> str:
    if letter in _ESCAPES:
        return _ESCAPES[letter]
    if letter.isprintable():
        return letter
    number = ord(letter)
    if number < 0x80:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
