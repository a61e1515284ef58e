"""Claims about how the Debian packages are made:

- what is staged is an installation below /usr, in no other program's way; the units are debhelper's to place, and start what is there
- libraries of Debian's packages are left to those packages, and what is in the programs nevertheless is named by its source
- the packages have the version of the project, and every Python package that is frozen is in the copyright file with its licence
- an override of lintian has its reason before it
- scripts of the package are what a shell takes
"""

import re
import subprocess
import tomllib
from importlib.metadata import distribution
from pathlib import Path

import pytest

from build import deb
from build.programs import ROOT, BuildError

DEBIAN = ROOT / "build" / "debian"
FROZEN = re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements" / "run.txt").read_text(), re.MULTILINE)
LICENCES = {"MIT": "Expat", "Apache-2.0": "Apache-2.0", "BSD-3-Clause": "BSD-3-clause", "PSF-2.0": "PSF-2"}
"""How DEP-5 calls licences that have another name elsewhere."""

OTHERWISE = {
    "hyperframe": "Expat",  # "The MIT License (MIT)"
    "prometheus-client": "Apache-2.0",  # "Apache-2.0 AND BSD-2-Clause": the second is one file's, named besides
}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not (ROOT / "dist" / "lib" / "build-id").exists():
        pytest.fail("dist/lib is missing: run make build")
    place = tmp_path_factory.mktemp("source")
    (place / "debian").mkdir()
    deb.stage(place)
    return place


def paragraphs() -> list[dict[str, str]]:
    """Return the paragraphs of the copyright file: fields with their values."""
    whole = (DEBIAN / "copyright").read_text().split("\n\n")
    return [dict(re.findall(r"^([A-Z][A-Za-z-]*): *((?:.*\n?)(?: .*\n?)*)", one, re.MULTILINE)) for one in whole]


def test_what_is_staged_is_in_nobodys_way(source: Path) -> None:
    top = {
        "/".join(path.relative_to(source / "root").parts[:3])
        for path in (source / "root").rglob("*")
        if not path.is_dir()
    }

    assert {one for one in top if not one.startswith("usr/share/")} == {
        "etc/default/tulled",
        "usr/bin/tulle",
        "usr/bin/tulled",
        "usr/lib/tulle",
        "usr/libexec/netavark",
        "usr/libexec/tulle",
    }
    assert not (source / "root/usr/lib/tulle/folders").exists()


def test_units_are_debhelpers_to_place_and_start_what_is_there(source: Path) -> None:
    units = sorted(path.name for path in (source / "debian").glob("*.*.*"))
    started = re.findall(
        r"^ExecStart=/(\S+)", "".join(path.read_text() for path in (source / "debian").glob("*.service")), re.MULTILINE
    )

    assert units == ["tulle.tulle-agent.service", "tulle.tulle-agent.socket", "tulle.tulled.service"]
    assert sorted(started) == ["usr/bin/tulle", "usr/bin/tulled"]
    assert all((source / "root" / one).is_symlink() for one in started)


def test_libraries_of_debians_packages_are_left_to_those(source: Path) -> None:
    libraries = [path.name for path in (source / "root/usr/lib/tulle/_internal").glob("lib*.so*")]

    assert [name.partition(".")[0] for name in libraries] == ["libpython3"]


def test_what_is_in_the_programs_is_named_by_its_source(source: Path) -> None:
    named = [one.split()[0] for one in (source / "debian" / "built-using").read_text().split(", ")]

    assert [re.sub(r"-?[0-9.]+$", "", one) for one in named] == ["gcc", "musl", "python"]


def test_a_tool_that_fails_is_named() -> None:
    with pytest.raises(BuildError, match=r"dpkg-query -S /nowhere failed \(exit 1\)"):
        deb._run("dpkg-query", "-S", "/nowhere")


def test_the_packages_have_the_version_of_the_project() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]

    assert (DEBIAN / "changelog").read_text().startswith(f"tulle ({version}) ")


@pytest.mark.parametrize("name", FROZEN)
def test_a_frozen_package_is_in_the_copyright_file_with_its_licence(name: str) -> None:
    about = distribution(name).metadata
    said = next(about[key] for key in ("License-Expression", "License") if key in about)

    licences = [one["License"].strip() for one in paragraphs() if re.match(rf"{name}( |\n|$)", one.get("Comment", ""))]
    assert licences == [OTHERWISE.get(name) or LICENCES[said]]


def test_no_package_is_named_that_is_not_frozen() -> None:
    named = {one["Comment"].strip() for one in paragraphs() if re.fullmatch(r"[a-z0-9-]+\n?", one.get("Comment", ""))}

    assert named <= set(FROZEN)


def test_every_licence_has_its_text() -> None:
    used = {word for one in paragraphs() if "Files" in one for word in re.split(" and | or ", one["License"].strip())}
    texts = {one["License"].partition("\n")[0] for one in paragraphs() if "License" in one and "Files" not in one}

    assert used == texts


def test_an_override_of_lintian_has_its_reason_before_it() -> None:
    lines = (DEBIAN / "tulle.lintian-overrides").read_text().splitlines()

    assert [line.startswith("# ") for line in lines] == [True, False] * (len(lines) // 2)


@pytest.mark.parametrize("script", sorted(DEBIAN.glob("*.p*rm")), ids=lambda path: path.name)
def test_a_shell_takes_the_scripts(script: Path) -> None:
    subprocess.run(["sh", "-n", script], check=True)
