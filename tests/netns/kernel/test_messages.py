"""Claims about kernel.messages, each in a fresh interpreter; here because they need pyroute2.

- the four message classes load without pyroute2's own package file, asyncio or sockets of its own
- pyroute2 imported before, or after, works in full
- without pyroute2 the error says what to install
"""

import subprocess
import sys


def _python(program: str, *options: str) -> str:
    done = subprocess.run([sys.executable, *options, "-c", program], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_the_message_classes_load_without_the_rest() -> None:
    loaded = _python("import sys, kernel.messages; print(*sys.modules)").split()
    assert "pyroute2.netlink.rtnl.ifinfmsg" in loaded
    assert not {"asyncio", "pyroute2.iproute", "pyroute2.ndb", "pyroute2.netlink.nlsocket", "sqlite3"} & set(loaded)


def test_pyroute2_imported_afterwards_works_in_full() -> None:
    program = "from kernel.messages import rtmsg\nfrom pyroute2 import IPRoute\nimport pyroute2, pyroute2.netlink.rtnl.rtmsg as m\n"
    program += "print(IPRoute.__name__, pyroute2.AsyncIPRoute.__name__, m.rtmsg is rtmsg, bool(pyroute2.__version__))"
    assert _python(program) == "IPRoute AsyncIPRoute True True\n"


def test_pyroute2_imported_before_is_used() -> None:
    program = "import pyroute2\nfrom pyroute2.netlink.rtnl.rtmsg import rtmsg as theirs\n"
    program += "from kernel.messages import rtmsg\nprint(rtmsg is theirs, pyroute2.IPRoute.__name__)"
    assert _python(program) == "True IPRoute\n"


def test_a_name_pyroute2_does_not_have_is_an_ordinary_error() -> None:
    program = "import kernel.messages, pyroute2\ntry: pyroute2.no_such_name\nexcept AttributeError: print('refused')"
    assert _python(program) == "refused\n"


def test_without_pyroute2_the_error_says_what_to_install() -> None:
    program = "import sys; sys.path[:0] = ['.']\ntry: import kernel.messages\nexcept ModuleNotFoundError as e: print(e)"
    assert _python(program, "-S", "-I") == "pyroute2 is not installed: install requirements/run.txt\n"
