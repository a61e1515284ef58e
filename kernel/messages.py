"""Loads pyroute2's four message classes and nothing else of pyroute2.

`import pyroute2` runs a package file that pulls in sockets, asyncio and a database: three to four times what the message
classes cost, paid by a process that is started for every container. So the package is put in place unexecuted; its
file runs on the first use of a name it defines, which keeps `from pyroute2 import ...` working for whoever comes later.
When pyroute2 was imported in the ordinary way before, that one is used. Blind spot: this leans on where
pyroute2 0.9 keeps its modules; requirements/run.txt pins it and a test in tests/netns holds it.
"""

import importlib
import importlib.util
import sys
from types import ModuleType
from typing import Any

PACKAGE = "pyroute2"


def _stand_in() -> None:
    """Put the package in place so that its submodules can be imported while its own file has not run."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError(f"{PACKAGE} is not installed: install requirements/run.txt", name=PACKAGE)
    loader, package = spec.loader, importlib.util.module_from_spec(spec)

    def complete(name: str) -> Any:
        """Run the package's file when somebody asks for a name it defines (PEP 562)."""
        if name.startswith("__"):
            raise AttributeError(name)
        del package.__dict__["__getattr__"]
        loader.exec_module(package)
        return getattr(package, name)

    package.__dict__["__getattr__"] = complete
    sys.modules[PACKAGE] = package


def _load(name: str) -> ModuleType:
    return importlib.import_module(f"{PACKAGE}.{name}")


if PACKAGE not in sys.modules:
    _stand_in()
    _load("config")  # the message modules say `from pyroute2 import config`: it has to be there already

ifinfmsg: Any = _load("netlink.rtnl.ifinfmsg").ifinfmsg
ifaddrmsg: Any = _load("netlink.rtnl.ifaddrmsg").ifaddrmsg
rtmsg: Any = _load("netlink.rtnl.rtmsg").rtmsg
ndmsg: Any = _load("netlink.rtnl.ndmsg").ndmsg
