"""Claims about uninstalling, below a DESTDIR of the test:

- what was there before an installation is what is there after it is taken back, folders too, whatever was installed again between
- a manual page that an earlier version had goes too
- links, units and files of others stay, and folders in which somebody has put something
- edited settings stay and are named; what tulle init wrote goes too; a second run finds nothing to do
"""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from build import install
from build.install import Target
from build.uninstall import uninstall
from cli.setup.managed_files import File, ManagedFiles


@pytest.fixture
def target(tmp_path: Path) -> Target:
    for folder in ("usr/local/bin", "usr/local/lib", "etc/default"):
        (tmp_path / folder).mkdir(parents=True)
    return Target(Path("/usr/local"), Path("/opt/cni/bin"), tmp_path, systemd=True)


@pytest.fixture
def put(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Target], None]:
    """Return what installs a small tree in the form of dist/lib."""
    lib = tmp_path_factory.mktemp("lib")
    (lib / "tulle").write_text("frozen")

    def put(target: Target) -> None:
        install.make_tree(target, lib, install.made_folders(target))
        install.make_links(target)
        install.make_completions(target)
        install.make_manual(target, install.spelled(target))
        install.make_units(target)

    return put


def everything(target: Target) -> list[str]:
    return sorted(str(path.relative_to(target.destdir)) for path in target.destdir.rglob("*"))


def test_the_machine_is_as_before(target: Target, put: Callable[[Target], None]) -> None:
    before = everything(target)
    put(target)
    put(target)
    assert everything(target) != before
    assert uninstall(target)
    assert everything(target) == before
    assert uninstall(target)


def test_what_others_made_stays(target: Target, put: Callable[[Target], None]) -> None:
    put(target)
    theirs = target.staged(Path("/opt/cni/bin/macvlan"))
    theirs.write_text("someone else's")
    for ours in ("/opt/cni/bin/bridge", "/usr/local/lib/systemd/system/tulled.service"):
        target.staged(Path(ours)).unlink()
        target.staged(Path(ours)).write_text("someone else's")

    assert uninstall(target)

    left = {path for path in everything(target) if target.destdir.joinpath(path).is_file()}
    assert left == {"opt/cni/bin/macvlan", "opt/cni/bin/bridge", "usr/local/lib/systemd/system/tulled.service"}


def test_a_page_of_an_earlier_version_goes_too(target: Target, put: Callable[[Target], None]) -> None:
    put(target)
    folder = target.staged(Path("/usr/local/share/man/man1"))
    (folder / "tulle.1.gz").rename(folder / "tulle-once.1.gz")
    theirs = folder / "tulle-theirs.1.gz"
    theirs.write_text("someone else's")
    assert uninstall(target)
    assert list(folder.iterdir()) == [theirs]


def test_edited_settings_stay_and_are_named(
    target: Target, put: Callable[[Target], None], capsys: pytest.CaptureFixture[str]
) -> None:
    put(target)
    settings = target.staged(Path("/etc/default/tulled"))
    settings.write_text("TULLED_IP_MASQ=true\n")
    assert not uninstall(target)
    assert "/etc/default/tulled was edited and stays" in capsys.readouterr().err
    assert settings.read_text() == "TULLED_IP_MASQ=true\n"


def test_what_init_wrote_goes_too(target: Target, put: Callable[[Target], None]) -> None:
    put(target)
    conflist = "/etc/cni/net.d/10-tulle.conflist"
    ManagedFiles(target.destdir).write(File(conflist, "{}"))
    assert uninstall(target)
    assert not os.path.lexists(target.staged(Path(conflist)))
