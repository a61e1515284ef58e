"""Claims about the demo's drawings:

- the matrix has a row a source and a column a target, aligned; a path that was not tried is a dash
- a fault is marked in its cell and told in words below; colours appear only when asked for
- the map draws the hosts' boxes side by side, equally high, whatever they hold
"""

from tests.lab.picture import Path, Sketch, chart, matrix

PATHS = [
    Path("a1", "b1", "10.42.1.2", ""),
    Path("a1", "outside", "192.168.1.11", ""),
    Path("b1", "a1", "", "ping: no answer"),
]


def sketch(name: str, containers: dict[str, str]) -> Sketch:
    tunnels = {"other": "192.168.1.12"}
    return Sketch(name, 1, "192.168.1.11/24", "10.42.1.0/24", "flannel.1", tunnels, "tulle0", containers)


def test_the_matrix_has_a_row_a_source_and_a_column_a_target() -> None:
    head, first, second, *_ = (line.split() for line in matrix(PATHS))

    assert head == ["from", "/", "to", "a1", "b1", "outside"]
    assert first == ["a1", "-", "ok", "ok"]
    assert second == ["b1", "FAIL", "-", "-"]


def test_the_matrix_is_aligned() -> None:
    assert len({len(line) for line in matrix(PATHS)[:3]}) == 1


def test_a_fault_is_told_in_words_below_the_matrix() -> None:
    assert matrix(PATHS)[-1] == "b1 -> a1: ping: no answer"


def test_colours_appear_only_when_asked_for() -> None:
    assert "\x1b[" not in "".join(matrix(PATHS))
    assert "\x1b[31m" in "".join(matrix(PATHS, colours=True))


def test_the_boxes_of_the_map_are_equally_high() -> None:
    lines = chart([sketch("a", {"a1": "10.42.1.2", "a2": "10.42.1.3"}), sketch("b", {})], "203.0.113.10")

    assert lines[-1].count("└") == lines[-1].count("┘") == 2
    assert len({len(line) for line in lines[5:]}) == 1


def test_the_map_shows_tunnels_and_containers_of_a_host() -> None:
    text = "\n".join(chart([sketch("a", {"a1": "10.42.1.2"})], "203.0.113.10"))

    assert "⇒ other 192.168.1.12" in text
    assert "a1     10.42.1.2" in text


def test_every_box_hangs_on_the_router() -> None:
    for count in range(1, 6):
        branches = chart([sketch("a", {})] * count, "x")[3]
        assert sum(branches.count(joint) for joint in "┌┐┬┼│") == count
