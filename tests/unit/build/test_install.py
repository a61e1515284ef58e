"""Claims about the installer, always below a DESTDIR of the test:

- a link into our own tree may be replaced, anything else is in the way and named before anything is written
- REPLACE takes it over; links point at the final place, not into DESTDIR
- the Podman driver is where netavark looks for plugins
- settings of the daemon that are there already stay as they are
- systemd units are written when asked for, where systemd runs or PREFIX has units already, and name the final place; another's is in the way
- manual pages are compressed as far as it goes, the same in every run; another's is in the way
- the tree is swapped as a whole: nothing of an earlier one remains
"""

import gzip
from dataclasses import replace
from pathlib import Path

import pytest

from build import install
from build.install import Target
from build.programs import BuildError


@pytest.fixture
def target(tmp_path: Path) -> Target:
    return Target(Path("/usr/local"), Path("/opt/cni/bin"), tmp_path)


@pytest.fixture
def lib(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a small tree in the form of dist/lib."""
    folder = tmp_path_factory.mktemp("lib")
    (folder / "tulle").write_text("frozen")
    (folder / "tulle").chmod(0o755)
    (folder / "tulle-forwarder").symlink_to("tulle")
    return folder


def occupy(target: Target, path: str) -> Path:
    staged = target.staged(Path(path))
    staged.parent.mkdir(parents=True, exist_ok=True)
    staged.write_text("someone else's")
    return staged


def test_a_file_of_others_is_in_the_way(target: Target) -> None:
    occupy(target, "/opt/cni/bin/bridge")

    assert install.foreign(target) == [Path("/opt/cni/bin/bridge")]


def test_a_link_into_our_tree_is_not_in_the_way(target: Target) -> None:
    install.make_links(target)

    assert install.foreign(target) == []


def test_a_refused_installation_writes_nothing(target: Target) -> None:
    theirs = occupy(target, "/opt/cni/bin/bridge")

    with pytest.raises(BuildError, match=r"/opt/cni/bin/bridge: not made by this installer\..*REPLACE=1"):
        install.install(target, replace=False)
    assert [path for path in target.destdir.rglob("*") if path.is_file()] == [theirs]


def test_replace_takes_the_name_over(target: Target) -> None:
    theirs = occupy(target, "/opt/cni/bin/bridge")

    install.make_links(target)

    assert theirs.readlink() == Path("/usr/local/lib/tulle/launcher")


def test_podman_finds_the_driver_where_it_looks(target: Target) -> None:
    install.make_links(target)

    driver = target.staged(Path("/usr/local/libexec/netavark/tulle"))
    assert driver.readlink() == Path("/usr/local/lib/tulle/tulle")


def test_a_unit_is_written_when_asked_for(target: Target) -> None:
    asked = replace(target, prefix=Path("/opt/here"), systemd=True)

    install.make_units(asked)

    units = asked.staged(Path("/opt/here/lib/systemd/system"))
    assert "\nExecStart=/opt/here/bin/tulled\n" in (units / "tulled.service").read_text()
    assert "\nExecStart=/opt/here/bin/tulle agent\n" in (units / "tulle-agent.service").read_text()
    assert not any("/usr/local" in unit.read_text() for unit in units.iterdir())
    assert asked.staged(Path("/etc/default/tulled")).is_file()
    assert install.foreign(asked) == []


def test_a_unit_is_written_where_units_are(target: Target) -> None:
    folder = target.staged(Path("/usr/local/lib/systemd/system"))
    install.make_units(target)
    assert not folder.exists()

    folder.mkdir(parents=True)
    install.make_units(target)
    assert sorted(path.name for path in folder.iterdir()) == [
        "tulle-agent.service",
        "tulle-agent.socket",
        "tulled.service",
    ]


def test_a_unit_is_written_where_systemd_runs(target: Target) -> None:
    target.staged(install.BOOTED).mkdir(parents=True)
    assert [unit.name for unit in target.units] == list(install.UNITS)


def test_a_systemd_that_runs_reads_the_units_anew(
    target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "systemctl").write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/asked\n')
    (tmp_path / "systemctl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    here = replace(target, destdir=Path("/"), systemd=True)
    install.reload_units(replace(target, systemd=True), booted=tmp_path)
    install.reload_units(here, booted=tmp_path / "absent")
    assert not (tmp_path / "asked").exists()
    install.reload_units(here, booted=tmp_path)
    assert (tmp_path / "asked").read_text() == "daemon-reload\n"


def test_a_unit_of_others_is_in_the_way_and_edited_settings_stay(target: Target) -> None:
    settings = occupy(target, "/etc/default/tulled")
    occupy(target, "/usr/local/lib/systemd/system/tulled.service")

    assert install.foreign(target) == [Path("/usr/local/lib/systemd/system/tulled.service")]
    install.make_units(target)
    assert settings.read_text() == "someone else's"


def test_pages_are_compressed_the_same_in_every_run(target: Target) -> None:
    pages = install.spelled(target)
    assert pages == install.spelled(target)
    install.make_manual(target, pages)

    page = target.staged(Path("/usr/local/share/man/man8/tulled.8.gz"))
    assert page.read_bytes()[4:9] == b"\0\0\0\0\2"  # no time; the slowest, smallest way
    assert b".TH TULLED 8 " in gzip.decompress(page.read_bytes())
    assert page.stat().st_mode & 0o777 == 0o644
    assert install.foreign(target) == []


@pytest.mark.parametrize(
    "content", [b"someone else's", gzip.compress(b"someone else's", mtime=0), b"\x1f\x8bbroken", b""]
)
def test_a_page_of_others_is_in_the_way(target: Target, content: bytes) -> None:
    occupy(target, "/usr/local/share/man/man1/tulle.1.gz").write_bytes(content)

    assert install.foreign(target) == [Path("/usr/local/share/man/man1/tulle.1.gz")]


def test_the_tree_is_swapped_as_a_whole(target: Target, lib: Path) -> None:
    stale = occupy(target, "/usr/local/lib/tulle/_internal/stale.pyc")

    install.make_tree(target, lib)

    assert not stale.exists()
    tree = target.staged(target.tree)
    assert {path.name for path in tree.iterdir()} == {"tulle", "tulle-forwarder", "folders"}
    assert ((tree / "tulle").stat().st_mode & 0o777, (tree / "tulle-forwarder").readlink()) == (0o755, Path("tulle"))
    assert [path.name for path in tree.parent.iterdir()] == ["tulle"]


def test_links_lead_to_the_final_place(target: Target) -> None:
    install.make_links(target)

    assert target.staged(Path("/usr/local/bin/tulled")).readlink() == Path("/usr/local/lib/tulle/tulle")


def test_a_relative_prefix_is_refused() -> None:
    with pytest.raises(BuildError, match="PREFIX=here is not an absolute path"):
        install.parse(["--prefix", "here"])
