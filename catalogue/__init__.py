"""The one list of tulle's CNI programs: a program that is entered here is known to all that start, serve, judge or describe programs.

The frozen executable (build/entry.py), the launcher's answers to VERSION (build/freeze.py), the agent (agent/catalogue.py),
`tulle lint` (cli/linting) and the manual (build/manual) read it. Every start of a program pays for this module, VERSION too: it
imports nothing, and a program is imported only when `load` is called.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from cni.program import Program

INTERFACE, CHAINED, IPAM = "interface", "chained", "ipam"
"""What a program does: it makes an interface, works on one that another program made, or assigns addresses."""


class Entry:
    """One CNI program. A plain class, because importing dataclasses costs more than the rest of VERSION.

    `name` is what a configuration calls it by, `module` holds its PROGRAM, `role` is INTERFACE, CHAINED or IPAM.
    `parsers` are the functions that refuse a wrong configuration, as MODULE:FUNCTION, in the order they are asked; each takes the
    request of an ADD. `schema` is its file in conf/schema, empty when it has none, `page` its description in docs.
    """

    __slots__ = ("module", "name", "page", "parsers", "role", "schema")

    def __init__(self, name: str, module: str, role: str, *, parsers: tuple[str, ...], schema: str, page: str) -> None:
        self.name = name
        self.module = module
        self.role = role
        self.parsers = parsers
        self.schema = schema
        self.page = page

    def load(self) -> Program:
        """Import the program; by __import__, because importlib costs VERSION a millisecond."""
        program: Program = __import__(self.module, fromlist=["PROGRAM"]).PROGRAM
        return program


ENTRIES = (
    Entry(
        "bandwidth",
        "meta.bandwidth.program",
        CHAINED,
        parsers=("meta.bandwidth.plan:check_limits",),
        schema="bandwidth.json",
        page="plugins/bandwidth.md",
    ),
    Entry(
        "bridge",
        "bridge.program",
        INTERFACE,
        parsers=("bridge.config:parse",),
        schema="bridge.json",
        page="plugins/bridge.md",
    ),
    Entry(
        "firewall",
        "meta.firewall.program",
        CHAINED,
        parsers=("meta.firewall.config:parse",),
        schema="firewall.json",
        page="plugins/firewall.md",
    ),
    Entry(
        "flannel",
        "meta.flannel.program",
        INTERFACE,
        parsers=(),  # what its delegate refuses is judged when there is a lease to derive it from
        schema="",
        page="plugins/flannel.md",
    ),
    Entry(
        "host-local",
        "ipam.host_local",
        IPAM,
        parsers=("ipam.config:parse", "ipam.config:requested"),
        schema="host-local.json",
        page="plugins/host-local.md",
    ),
    Entry(
        "loopback",
        "main.loopback.program",
        INTERFACE,
        parsers=(),  # it has no keys of its own
        schema="loopback.json",
        page="plugins/loopback.md",
    ),
    Entry(
        "portmap",
        "meta.portmap.program",
        CHAINED,
        parsers=("meta.portmap.config:parse",),
        schema="portmap.json",
        page="plugins/portmap.md",
    ),
    Entry(
        "static",
        "ipam.static",
        IPAM,
        parsers=("ipam.static_addresses:add",),
        schema="static.json",
        page="plugins/static.md",
    ),
    Entry(
        "tuning",
        "meta.tuning.program",
        CHAINED,
        parsers=("meta.tuning.config:parse",),
        schema="tuning.json",
        page="plugins/tuning.md",
    ),
)

CNI: Mapping[str, Entry] = {entry.name: entry for entry in ENTRIES}
"""Name -> entry, by name."""
