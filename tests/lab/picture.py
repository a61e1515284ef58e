"""Draws what the demo found: the matrix of paths and the map of hosts, subnets, tunnels and containers.

Pure: values in, lines of text out. Must not know how they were found. Colours are asked for by the caller, who knows the terminal.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

WIDTH = 29
GREEN, RED, DIM, PLAIN = "\x1b[32m", "\x1b[31m", "\x1b[2m", "\x1b[0m"


@dataclass(frozen=True, slots=True)
class Path:
    """What one path showed: `source` tried `target`; "" in `fault` means that ping, page and source address were right."""

    source: str
    target: str
    seen: str
    fault: str


@dataclass(frozen=True, slots=True)
class Sketch:
    """One host of the map, every entry as its own commands show it; `tunnels` maps a peer's name to its tunnel end."""

    name: str
    segment: int
    underlay: str
    subnet: str
    device: str
    tunnels: Mapping[str, str]
    bridge: str
    containers: Mapping[str, str]


def painter(*, colours: bool) -> Callable[[str, str], str]:
    """Return the function that colours a text, or leaves it alone."""
    return lambda colour, text: f"{colour}{text}{PLAIN}" if colours else text


def matrix(paths: Sequence[Path], *, colours: bool = False) -> list[str]:
    """Return the table: a row a source, a column a target, `ok` or `FAIL` for each path, then each fault in words."""
    paint = painter(colours=colours)
    rows = list(dict.fromkeys(path.source for path in paths))
    targets = list(dict.fromkeys(path.target for path in paths))
    columns = [row for row in rows if row in targets] + [target for target in targets if target not in rows]
    cells = {(path.source, path.target): path for path in paths}
    first = max(map(len, [*rows, "from / to"]))
    wide = max(map(len, [*columns, "FAIL"]))

    def cell(source: str, target: str) -> str:
        path = cells.get((source, target))
        if path is None:
            return paint(DIM, "-".center(wide))
        return paint(RED, "FAIL".center(wide)) if path.fault else paint(GREEN, "ok".center(wide))

    lines = ["  ".join(["from / to".ljust(first), *(column.center(wide) for column in columns)])]
    lines += ["  ".join([row.ljust(first), *(cell(row, column) for column in columns)]) for row in rows]
    return lines + [f"{path.source} -> {path.target}: {path.fault}" for path in paths if path.fault]


def chart(sketches: Sequence[Sketch], outside: str) -> list[str]:
    """Return the map: the outside and the router above, then the hosts side by side under their segments."""
    boxes = [_box(sketch) for sketch in sketches]
    height = max(map(len, boxes))
    filled = [[*box[:-1], *[_line("")] * (height - len(box)), box[-1]] for box in boxes]
    total = len(boxes) * (WIDTH + 1) - 1
    return [
        f"outside {outside}".center(total),
        "│".center(total),
        "router (has no route to a container)".center(total),
        _branches(len(boxes)),
        " ".join(f"segment {sketch.segment}".center(WIDTH) for sketch in sketches),
        *(" ".join(parts) for parts in zip(*filled, strict=True)),
    ]


def _branches(count: int) -> str:
    """Return the line that joins the router to the middle of every box."""
    step, half = WIDTH + 1, WIDTH // 2
    ends = {half + index * step for index in range(count)}
    middle = (count * step - 2) // 2
    drawn = []
    for column in range(max(ends) + 1):
        down, up = column in ends, column == middle
        inside = min(ends) <= column
        drawn.append(_JOINT[down, up, column == min(ends), column == max(ends)] if inside else " ")
    return "".join(drawn)


_JOINT = {
    # down, up, first, last
    (False, False, False, False): "─",
    (False, True, False, False): "┴",
    (True, False, False, False): "┬",
    (True, True, False, False): "┼",
    (True, False, True, False): "┌",
    (True, False, False, True): "┐",
    (True, True, True, True): "│",
}


def _line(text: str) -> str:
    return f"│ {text[: WIDTH - 4]:<{WIDTH - 4}} │"


def _box(sketch: Sketch) -> list[str]:
    edge = "─" * (WIDTH - 2)
    tunnels = [f"  ⇒ {peer} {end}" for peer, end in sketch.tunnels.items()]
    containers = [f"  {name:<6} {address}" for name, address in sketch.containers.items()]
    inside = [
        sketch.name,
        f"eth0   {sketch.underlay}",
        f"subnet {sketch.subnet}",
        "",
        sketch.device,
        *tunnels,
        "",
        sketch.bridge,
        *containers,
    ]
    return [f"┌{edge}┐", *map(_line, inside), f"└{edge}┘"]
