"""`make demo`: three pretend hosts, six containers, every path between them tried, and the proof that nothing is left.

It shows the shipped programs and the shipped conflist at work; it configures nothing by hand that they are there to do. The machine's own
network is never touched: everything happens in namespaces of its own (tests.lab.world), as root or as an ordinary user.
"""

import getpass
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path

from tests.lab import picture, traces, underlay
from tests.lab.daemon import BRIDGE, NETWORK, ROOT
from tests.lab.hosts import CONFLIST, DEVICE, Container, Host, Lab, probe, serve
from tests.lab.runtime import PluginError
from tests.lab.world import LabError, Place, end, entrance, identity

SEGMENTS = {"host-a": 1, "host-b": 1, "host-c": 2}
KEPT = ROOT / ".demo" / "world.json"
OUTSIDE = str(underlay.OUTSIDE.ip)


@dataclass(slots=True)
class Show:
    """The terminal: one line a step with the seconds since the start; colours only where a person looks."""

    started: float = field(default_factory=time.monotonic)
    colours: bool = field(default_factory=sys.stdout.isatty)

    def step(self, text: str) -> None:
        """Print one line of progress."""
        print(f"{time.monotonic() - self.started:5.1f} s  {text}", flush=True)

    def block(self, lines: Iterable[str]) -> None:
        """Print lines apart from the progress, indented."""
        print("\n" + "\n".join(f"    {line}".rstrip() for line in lines) + "\n", flush=True)


def raise_hosts(show: Show, lab: Lab) -> None:
    """Start the daemons and attach two containers a host, in the open."""
    for host in lab.hosts.values():
        show.step(f"{host.name} stands at {host.standing.address} on segment {host.standing.segment}")
    lab.start_daemons("--ip-masq")
    for host in lab.hosts.values():
        show.step(f"tulled on {host.name}: leased {host.lease()['FLANNEL_SUBNET']}, has a tunnel to every other host")
    for host in lab.hosts.values():
        for number in (1, 2):
            begun = time.monotonic()
            container = host.add(f"{host.name[-1]}{number}")
            took = (time.monotonic() - begun) * 1000
            show.step(f"container {container.name} on {host.name}: {container.address} (ADD {took:.0f} ms)")


def containers(lab: Lab) -> list[Container]:
    """Return every container of every host."""
    return [container for host in lab.hosts.values() for container in host.containers.values()]


@dataclass(frozen=True, slots=True)
class Source:
    """Where paths start: `owns` lists the addresses a server inside the overlay may see, `egress` the one an outsider must."""

    place: Place
    name: str
    owns: tuple[str, ...]
    targets: dict[str, str]
    egress: str = ""


def sources(lab: Lab) -> list[Source]:
    """Return every container and every host, each with all containers but itself as targets, and containers with the outside."""
    everyone = {container.name: container.address for container in containers(lab)}
    found = []
    for host in lab.hosts.values():
        for container in host.containers.values():
            others = {name: address for name, address in everyone.items() if name != container.name}
            egress = str(host.standing.address.ip)
            found.append(
                Source(container.place, container.name, (container.address,), {**others, "outside": OUTSIDE}, egress)
            )
    return found + [Source(host.place, host.name, overlay_addresses(host), everyone) for host in lab.hosts.values()]


def overlay_addresses(host: Host) -> tuple[str, ...]:
    """Return the addresses a host itself has in the overlay: its tunnel end and its bridge's gateway."""
    assigned = [entry["local"] for link in host.show("address", "show") for entry in link["addr_info"]]
    return tuple(address for address in assigned if ":" not in address and IPv4Address(address) in IPv4Network(NETWORK))


def verdict(source: Source, name: str, answer: dict[str, str]) -> str:
    """Return what is wrong with one answer, "" when nothing is: echo, page, and the source address the server saw."""
    if answer["ping"] or answer["http"]:
        return "; ".join(f"{kind}: {answer[kind]}" for kind in ("ping", "http") if answer[kind])
    allowed = (source.egress,) if name == "outside" else source.owns
    return "" if answer["seen"] in allowed else f"the server saw {answer['seen']}, not {' or '.join(allowed)}"


def try_paths(show: Show, lab: Lab) -> list[picture.Path]:
    """Serve a page in every container and outside, and try every path from all sources at once."""
    for container in containers(lab):
        container.serve()
    serve(lab.outside)
    show.step("a web server in every container, and one outside, tells each visitor its address")
    begun = [(source, probe(source.place, source.targets.values())) for source in sources(lab)]
    paths = []
    for source, job in begun:
        said, _ = job.communicate(timeout=120)
        answers = {answer["target"]: answer for answer in map(json.loads, said.splitlines())}
        silent = {"ping": "no answer", "http": "no answer", "seen": ""}
        for name, address in source.targets.items():
            answer = answers.get(address, silent)
            paths.append(picture.Path(source.name, name, answer["seen"], verdict(source, name, answer)))
        good = sum(not path.fault for path in paths if path.source == source.name)
        show.step(f"from {source.name:<6} {good} of {len(source.targets)} paths: ping, page and source address")
    return paths


def seen(paths: list[picture.Path]) -> Iterator[str]:
    """Yield one line a source: the address the containers' servers saw, and the one outside saw."""
    for name in dict.fromkeys(path.source for path in paths):
        inside = sorted({path.seen for path in paths if path.source == name and path.target != "outside"})
        outside = [path.seen for path in paths if path.source == name and path.target == "outside"]
        tail = f"   outside saw {outside[0]}" if outside else ""
        yield f"{name:<7} containers saw {', '.join(inside)}{tail}"


def sketch(host: Host, lab: Lab) -> picture.Sketch:
    """Return one host of the map, read from the kernel: lease, tunnel entries, bridge and containers."""
    ends = {str(other.standing.address.ip): other.name for other in lab.hosts.values()}
    entries = [entry["dst"] for entry in host.show("fdb", "show", "dev", DEVICE) if entry.get("dst") in ends]
    own = {link["ifname"]: link["addr_info"][0] for link in host.show("-4", "address", "show") if link["addr_info"]}
    return picture.Sketch(
        host.name,
        host.standing.segment,
        str(host.standing.address),
        str(IPv4Interface(host.lease()["FLANNEL_SUBNET"]).network),
        f"{DEVICE} {own[DEVICE]['local']}/{own[DEVICE]['prefixlen']}",
        {ends[address]: address for address in sorted(entries)},
        f"{BRIDGE} {own[BRIDGE]['local']}/{own[BRIDGE]['prefixlen']}",
        {container.name: container.address for container in host.containers.values()},
    )


def present(show: Show, lab: Lab, paths: list[picture.Path]) -> None:
    """Print the matrix, the addresses servers saw, and the map."""
    legend = "ok: the ping and the page came back, and the server saw the source address it should"
    show.block([*picture.matrix(paths, colours=show.colours), "", legend])
    show.block(seen(paths))
    show.block(picture.chart([sketch(host, lab) for host in lab.hosts.values()], OUTSIDE))


def names_used(lab: Lab) -> traces.Traces:
    """Return every name the world uses, in the world itself and on each host: what must not be found outside later."""
    used = traces.look(lab.world.place)
    for host in lab.hosts.values():
        used |= traces.look(host.place)
    return used


def tear_down(show: Show, lab: Lab, before: traces.Traces) -> list[str]:
    """Detach the containers as a runtime would, end the world, and return whatever is still there."""
    used, world = names_used(lab), identity(lab.world.pid)
    remains = list(detach(lab))
    show.step(
        f"every container is detached: {len(remains)} links, addresses or rules of containers are left on the hosts"
    )
    lab.close()
    remains += traces.left(before, used, traces.look()) + traces.remains(world, [lab.workdir])
    show.step(
        "the world is gone: this machine's links, namespaces, mounts, nft tables, processes and files compared with before"
    )
    return remains


def detach(lab: Lab) -> Iterator[str]:
    """Run DEL for every container; yield a line for each link, claimed address or masquerade rule that outlived it."""
    for host in lab.hosts.values():
        mine = {container.name: container.address for container in host.containers.values()}
        for name in mine:
            host.remove(name)
        yield from (f"{host.name}: link {link['ifname']}" for link in host.show("link", "show", "master", BRIDGE))
        claimed = host.place.attempt("find", "/run/tulle", "-type", "f").stdout.split()
        yield from (f"{host.name}: file {path}" for path in claimed if Path(path).name in mine.values())
        rules = host.place.run("nft", "list", "ruleset")
        yield from (f"{host.name}: nft rule for {address}" for address in mine.values() if f"{address} " in rules)


@contextmanager
def a_lab(show: Show, *, keep: bool) -> Iterator[Lab]:
    """Make the lab; whatever goes wrong, a lab that is not to be kept is gone afterwards."""
    lab = Lab(SEGMENTS, lasting=keep)
    who = f"as {getpass.getuser()} in a user namespace" if lab.world.user else "as root"
    show.step(f"a world of its own {who}: {len(SEGMENTS)} hosts on two segments, a router between, a place outside")
    done = False
    try:
        yield lab
        done = True
    finally:
        if not (keep and done):
            lab.close()


def demo(*, keep: bool) -> int:
    """Run the whole show; return the exit code, 0 only when every path worked and nothing is left."""
    if keep and KEPT.exists():
        raise LabError("one is already kept up; `make demo-clean` removes it")
    show, before = Show(), traces.look()
    with a_lab(show, keep=keep) as lab:
        show.step(f"the same {CONFLIST.relative_to(ROOT)} serves every host")
        raise_hosts(show, lab)
        paths = try_paths(show, lab)
        present(show, lab, paths)
        good = sum(not path.fault for path in paths)
        if keep:
            remember(lab)
            show.block(invitation(lab))
            print(f"demo: {good} of {len(paths)} paths reachable, kept up; `make demo-clean` removes it")
            return 0 if good == len(paths) else 1
        remains = tear_down(show, lab, before)
    for line in remains:
        print(f"left behind: {line}")
    print(f"demo: {good} of {len(paths)} paths reachable, {len(remains)} left behind")
    return 0 if good == len(paths) and not remains else 1


def remember(lab: Lab) -> None:
    """Write down what `clean` must remove."""
    KEPT.parent.mkdir(exist_ok=True)
    KEPT.write_text(json.dumps({"pid": lab.world.pid, "world": identity(lab.world.pid), "directory": str(lab.workdir)}))


def invitation(lab: Lab) -> Iterator[str]:
    """Yield how to look around, in lines to copy."""
    yield "It stays up. Look around (each line opens a shell or runs one command):"
    for host in lab.hosts.values():
        words = " ".join(entrance(int(host.place.prefix[1].partition("=")[2]), user=lab.world.user))
        yield f"  {host.name}:  {words} bash"
    container = containers(lab)[0]
    yield f"  in {container.name}:   {' '.join(container.place.prefix)} ping -c 3 {containers(lab)[-1].address}"
    yield "On a host, try: ip -d link show flannel.1; ip route; bridge fdb show dev flannel.1; cat /run/flannel/subnet.env; nft list ruleset"
    yield f"Logs of the daemons: {lab.workdir}/*.log"


def clean() -> int:
    """Remove a kept demo; return 0 when it is gone or none was kept."""
    if not KEPT.exists():
        print("demo: none is kept up")
        return 0
    kept = json.loads(KEPT.read_text())
    if is_ours(kept):
        end(kept["pid"])
    shutil.rmtree(kept["directory"], ignore_errors=True)
    remains = traces.remains(kept["world"], [Path(kept["directory"])])
    if not remains:
        shutil.rmtree(KEPT.parent)
    print("\n".join([*remains, f"demo: the kept one is removed, {len(remains)} left behind"]))
    return 1 if remains else 0


def is_ours(kept: dict[str, str | int]) -> bool:
    """Say whether the remembered process number still belongs to the kept world and not to a newcomer."""
    try:
        return identity(int(kept["pid"])) == kept["world"]
    except OSError:
        return False


def main(arguments: list[str]) -> int:
    """Run `demo` or `demo clean`; return the exit code. SIGTERM ends it as tidily as Ctrl-C does."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if arguments == ["clean"]:
            return clean()
        return demo(keep=os.environ.get("KEEP", "") not in {"", "0"})
    except (LabError, PluginError, OSError) as error:
        print(f"demo: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("demo: stopped; its world is gone", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
