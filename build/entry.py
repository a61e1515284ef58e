"""Starts one of our programs, picked by name: the whole of the frozen executable, and the way to run a program from the checkout.

The executable is called by many names, so the name it was called by says which program is meant. From the checkout the name is the
first argument: `python -m build.entry NAME [ARGUMENT...]`. Import budget: gc, os, sys, the list of programs and what is in the interpreter; nothing is imported but the program asked for.
Must not know what a program does.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # the part of signal that is in the interpreter: all of it takes a millisecond
import gc
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping
    from typing import NoReturn

    from catalogue import Entry
    from cni.in_process import InProcessPrograms

COMMANDS = {"tulle": "cli.main", "tulled": "overlay.main"}
"""What people start: name -> the module with its main()."""

DRIVER = ("create", "setup", "teardown", "info")
"""What netavark and Podman ask of their plugin `tulle`; the command of that name has no such commands, so one file is both."""

HELPERS = {"tulle-forwarder": "overlay.forwarder.process"}
"""What only our programs start: name -> the module with its main()."""

LIBRARIES = "LD_LIBRARY_PATH"

NOTHING = "no installed file of tulle can be read: install it again"


def restore(environ: MutableMapping[str, str]) -> None:
    """Take back what PyInstaller's bootloader put into the environment: programs we start get what our caller gave us.

    Blind spot: a caller who set LD_LIBRARY_PATH_ORIG and no LD_LIBRARY_PATH looks like the bootloader.
    """
    for name in [name for name in environ if name.startswith("_PYI_")]:
        del environ[name]
    environ.pop(LIBRARIES, None)
    if (original := environ.pop(f"{LIBRARIES}_ORIG", None)) is not None:
        environ[LIBRARIES] = original


def start(name: str, *, in_process: bool) -> NoReturn:
    """Run the program called `name` on this process's streams, arguments and environment, and end the process.

    With `in_process`, delegates that are links to this executable, or to the launcher beside it, are served in this process.
    """
    _expect_children()
    is_driver = name == "tulle" and sys.argv[1:2] != [] and sys.argv[1] in DRIVER
    try:
        from catalogue import CNI  # noqa: PLC0415 - it may be as unreadable as a program
    except Exception as failure:  # noqa: BLE001 - a module that cannot be had may fail in any way
        _give_up(name, failure, is_driver=is_driver)
    program = CNI.get(name)
    module = program.module if program else "driver.main" if is_driver else COMMANDS.get(name) or HELPERS.get(name)
    if module is None:
        known = ", ".join([*CNI, *COMMANDS])
        sys.stderr.write(f"{name or 'an empty name'}: not a program of tulle; call it by the name of one: {known}\n")
        raise SystemExit(2)
    try:
        if program is None:
            from system import stderr  # noqa: PLC0415 - the others open it when there is something to say

            stderr.install()
            _wait_for_handlers(name, sys.argv[1:])
        if program or is_driver:
            _hurry()
        loaded = __import__(module, fromlist=["main"])  # one program's imports, not every program's
        from cni.skel import main  # noqa: PLC0415 - the same

        near = _in_process(CNI) if in_process else None
    except Exception as failure:  # noqa: BLE001 - a module that cannot be had may fail in any way
        _give_up(name, failure, is_driver=is_driver)
    if program:
        main(loaded.PROGRAM, near)
    if is_driver:
        raise SystemExit(loaded.main(sys.argv[1:], f"{_folder()}/cni" if in_process else "", near))
    raise SystemExit(loaded.main())


def _give_up(name: str, failure: Exception, *, is_driver: bool) -> NoReturn:
    """Say that the program cannot be loaded, as whoever called it expects to hear it, and end the process."""
    sys.path_importer_cache.clear()  # a directory that could not be read a moment ago is not looked at again else
    try:
        from cni import installed  # noqa: PLC0415 - only here

        told, document = installed.message(failure), installed.document(failure)
        error = installed.plain(told)
    except Exception as worse:  # noqa: BLE001 - nothing can be loaded any more
        told, error, document = f"no installed file can be read: {worse}", NOTHING, f'{{"code": 5, "msg": "{NOTHING}"}}'
    sys.stderr.write(f"{name}: {told}\n")
    is_cni = not is_driver and name not in (*COMMANDS, *HELPERS)
    if is_cni or is_driver:
        sys.stdout.write(document if is_cni else f'{{"error": "{error}"}}\n')  # noqa: TID251 - cni.skel's, or driver.main's
    raise SystemExit(1)


def _expect_children() -> None:
    """Have the end of a child kept until it is asked for; a caller that ignores SIGCHLD (signal(7)) would hand that down.

    What we start gets the default too, as it does from the reference: iptables waits for the modprobe it starts.
    """
    _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)


def _wait_for_handlers(name: str, words: list[str]) -> None:
    """Keep signals that a process which stays is to hear until it does (its own module lets them in): a SIGHUP would end it before.

    What is kept stays kept over an execve of the agent's.
    """
    if name == "tulle" and words[:1] == ["agent"] and "status" not in words:
        _signal.pthread_sigmask(_signal.SIG_BLOCK, (_signal.SIGHUP, _signal.SIGTERM, _signal.SIGINT))
    elif name in ("tulled", *HELPERS):
        _signal.pthread_sigmask(_signal.SIG_BLOCK, (_signal.SIGHUP,))


def _hurry() -> None:
    """Leave out what a process that ends in a tenth of a second does not need."""
    gc.disable()  # there is no garbage worth looking for: 4 ms
    postpone("inspect")  # what dataclasses wants it for, only classes without a docstring need: 6 ms


def postpone(name: str) -> None:
    """Put an empty module in the place of `name`: the real one is loaded when something of it is asked for."""
    stand_in = type(sys)(name)

    def load(attribute: str) -> object:
        if attribute.startswith("__"):  # what the import system asks of every module
            raise AttributeError(attribute)
        if sys.modules.get(name) is stand_in:
            del sys.modules[name]
        return getattr(__import__(name), attribute)

    stand_in.__dict__["__getattr__"] = load
    sys.modules[name] = stand_in


def _in_process(programs: Mapping[str, Entry]) -> InProcessPrograms:
    from cni.in_process import InProcessPrograms  # noqa: PLC0415 - the checkout's programs need none

    return InProcessPrograms(
        {name: program.load for name, program in programs.items()}, (sys.executable, f"{_folder()}/launcher")
    )


def _folder() -> str:
    """Return where the executable lies."""
    return sys.executable.rpartition("/")[0]


if __name__ == "__main__":
    if hasattr(sys, "_MEIPASS"):  # set by the bootloader: this is the frozen program
        sys.frozen = True  # type: ignore[attr-defined]  # libraries ask for it
        restore(os.environ)  # noqa: TID251 - before any program reads it
        start(sys.argv[0].rpartition("/")[2], in_process=True)
    sys.argv = sys.argv[1:] or [""]
    start(sys.argv[0], in_process=False)
