"""The frozen programs in dist/. Claims:

- every program runs, and lint judges, where the checkout, .venv and Python are gone; no temporary directory keeps a file
- what is installed runs where the checkout and Python are gone, from the links people and runtimes use
- every module of ours, and every module that any line of ours imports however late, is in the frozen tree and can be imported there
- a CNI program's child gets the caller's environment: its own LD_LIBRARY_PATH if it set one, and nothing of the bootloader's
- so does nft, which gets the few variables we choose
- a link by an unknown name is refused in words; a program knows its version, and a CNI program begins with it, cold and by the launcher
- an installed file that is missing or cut short is named by every kind of program, in a document where one is awaited
- dist/lib/build-id is the hash of the tree beside it

Not covered: the frozen daemon and its forwarder, which the other end-to-end tests run.
"""

import ast
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from build import entry, freeze, programs
from build.programs import PACKAGES, ROOT
from catalogue import CNI
from cni import release
from tests.e2e.conftest import DIST
from tests.netns.spaces import Space

INTERNAL = DIST / "lib" / "_internal"
PROBE = "#!/bin/sh\nenv >{}\nexit 1\n"


def sources() -> list[Path]:
    return [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


def name(source: Path) -> str:
    return ".".join(source.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imported(source: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield str(node.module)


def probe(folder: Path, called: str) -> tuple[Path, Path]:
    """Make a program that writes its environment to the file returned beside it, and fails."""
    path, told = folder / called, folder / "environment"
    path.write_text(PROBE.format(shlex.quote(str(told))))
    path.chmod(0o755)
    return path, told


def variables(told: Path) -> dict[str, str]:
    pairs = dict(line.split("=", 1) for line in told.read_text().splitlines())
    return {key: value for key, value in pairs.items() if key not in ("PWD", "OLDPWD", "SHLVL", "_")}  # the shell's own


def test_programs_run_and_lint_judges_where_python_is_gone() -> None:
    hide = """
        set -eu
        mount --bind "$1" /mnt
        mount -t tmpfs none /run
        printf %s "$2" >/run/net.conflist
        shift 2
        for hidden in "$@"; do
            if [ -d "$hidden" ]; then mount -t tmpfs none "$hidden"; else mount --bind /dev/null "$hidden"; fi
        done
        cd /
        for program in /mnt/cni/*; do
            env -i CNI_COMMAND=VERSION "$program"
            env -i "$program" </dev/null 2>&1
        done
        env -i /mnt/bin/tulled --help 2>&1
        env -i /mnt/bin/tulle lint /run/net.conflist || echo "lint: $?"
        find /tmp /var/tmp /dev/shm -type f
    """
    conflist = '{"cniVersion": "1.0.0", "name": "n", "plugins": [{"type": "bridge", "mtu": "big"}]}'
    hidden = [*programs.pythons(), ROOT, *(Path(folder) for folder in ("/tmp", "/var/tmp", "/dev/shm"))]

    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", hide, "sh", DIST, conflist, *hidden],
        capture_output=True,
        text=True,
        check=False,
    )

    lines = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (0, "")
    assert len([line for line in lines if line.startswith('{"cniVersion":')]) == len(CNI)
    assert len([line for line in lines if line.startswith("CNI protocol versions supported: ")]) == len(CNI)
    assert "usage: tulled [--flag VALUE]..." in lines
    assert "lint: 1" in lines
    assert not [line for line in lines if line.startswith(("/tmp", "/var/tmp", "/dev/shm"))]


def test_what_is_installed_runs_without_the_checkout_and_python() -> None:
    install = """
        set -eu
        for folder in /usr/local /opt /etc; do mount -t tmpfs none $folder; done
        python=$1
        shift
        $python -m build.install >/dev/null
        cd /
        for hidden in "$@"; do
            if [ -d "$hidden" ]; then mount -t tmpfs none "$hidden"; else mount --bind /dev/null "$hidden"; fi
        done
        for program in /opt/cni/bin/*; do env -i CNI_COMMAND=VERSION "$program"; env -i "$program" </dev/null 2>&1; done
        env -i /usr/local/bin/tulle --version
        env -i /usr/local/bin/tulled --version 2>&1
    """

    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", install, "sh", sys.executable, *programs.pythons(), ROOT],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    lines = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (0, "")
    assert len([line for line in lines if line.startswith("CNI protocol versions supported: ")]) == len(CNI)
    assert lines[-2:] == [f"tulle {release.version()}", f"tulled {release.version()}"]


def test_every_module_is_there_and_can_be_imported() -> None:
    wanted = {name(source) for source in sources()} | {module for source in sources() for module in imported(source)}
    code = (
        "import sys\nsys.path[:] = sys.argv[1:3]\nfor name in sys.argv[3:]:\n __import__(name)\nprint(len(sys.modules))"
    )
    paths = [str(next(INTERNAL.glob("python3*")) / "lib-dynload"), str(INTERNAL)]

    done = subprocess.run(
        [sys.executable, "-IS", "-c", code, *paths, *sorted(wanted)], capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) > len(wanted)


@pytest.mark.parametrize("own", [{}, {"LD_LIBRARY_PATH": "/the/callers"}], ids=["none", "its own"])
def test_a_delegate_gets_the_callers_environment(
    own: dict[str, str], tmp_path: Path, program: Callable[[str], Path]
) -> None:
    _, told = probe(tmp_path, "probe")
    environ = {"CNI_COMMAND": "STATUS", "CNI_PATH": str(tmp_path), "PATH": os.defpath, "MARK": "of the caller", **own}
    config = {"cniVersion": "1.1.0", "name": "n", "type": "bridge", "ipam": {"type": "probe"}}

    subprocess.run(
        [program("bridge")], env=environ, input=json.dumps(config).encode(), check=False, capture_output=True
    )

    assert variables(told) == environ


def test_nft_gets_what_we_choose_and_nothing_of_the_bootloader(tmp_path: Path, program: Callable[[str], Path]) -> None:
    path, told = probe(tmp_path, "nft")
    config = {"cniVersion": "1.0.0", "name": "n", "type": "bridge", "bridge": "br0", "isGateway": True, "ipMasq": True}
    config |= {
        "ipMasqBackend": "nftables",
        "ipam": {"type": "host-local", "dataDir": str(tmp_path), "subnet": "10.9.0.0/24"},
    }
    with closing(Space("host")) as host, closing(Space("container")) as container:
        environ = {"CNI_COMMAND": "ADD", "CNI_CONTAINERID": "c", "CNI_NETNS": container.path, "CNI_IFNAME": "eth0"}
        command = f"mount --bind {shlex.quote(str(path))} $(readlink -f /usr/sbin/nft) && exec {program('bridge')}"
        subprocess.run(
            ["nsenter", f"--net={host.path}", "unshare", "--mount", "sh", "-c", command],
            env={**environ, "CNI_PATH": str(DIST / "cni"), "PATH": os.defpath + ":/usr/sbin:/sbin"},
            input=json.dumps(config).encode(),
            capture_output=True,
            check=False,
        )

    assert set(variables(told)) == {"LC_ALL", "PATH"}


def test_an_unknown_name_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "brigde").symlink_to(DIST / "lib" / "tulle")

    done = subprocess.run([tmp_path / "brigde"], capture_output=True, text=True, check=False)

    assert done.returncode == 2
    names = ", ".join([*sorted(CNI), *entry.COMMANDS])
    assert done.stderr == f"brigde: not a program of tulle; call it by the name of one: {names}\n"


def test_a_program_knows_its_version() -> None:
    said = subprocess.run([DIST / "bin/tulle", "--version"], capture_output=True, text=True, check=True).stdout

    assert said == f"tulle {release.version()}\n"


@pytest.mark.parametrize("folder", ["cni", "lib/cni"])
@pytest.mark.parametrize("name", CNI)
def test_the_first_line_of_a_cni_program_is_its_name_and_version(name: str, folder: str) -> None:
    told = subprocess.run([DIST / folder / name], env={}, capture_output=True, text=True, check=True)

    assert (told.stdout, told.stderr.splitlines()[0]) == ("", f"CNI {name} plugin v{release.version()}")


@pytest.fixture
def linked(tmp_path: Path) -> Path:
    """Return a copy of the tree whose files are the same until one is replaced."""
    subprocess.run(["cp", "--archive", "--link", DIST / "lib", tmp_path / "lib"], check=True)
    return tmp_path / "lib"


@pytest.mark.parametrize(
    ("module", "command"),
    [
        ("bridge/program", ("cni/bridge",)),
        ("cni/skel", ("cni/bridge",)),
        ("cni/dispatch", ("cni/bridge",)),
        ("bridge/plugin", ("cni/bridge",)),
        ("driver/plugin", ("tulle", "info")),
        ("cli/commands/status", ("tulle", "status")),
        ("catalogue/__init__", ("cni/bridge",)),
        ("catalogue/__init__", ("tulle", "info")),
        ("overlay/main", ("tulled", "--version")),
    ],
)
@pytest.mark.parametrize("content", [b"", None], ids=["cut short", "missing"])
def test_an_installed_file_that_cannot_be_read_is_named(
    linked: Path, module: str, command: tuple[str, ...], content: bytes | None
) -> None:
    broken = linked / "_internal" / f"{module}.pyc"
    broken.unlink()
    if content is not None:
        broken.write_bytes(content)
    program = linked / command[0]
    if not program.exists():
        program.symlink_to("tulle")
    environ = {
        "CNI_COMMAND": "ADD",
        "CNI_CONTAINERID": "c",
        "CNI_NETNS": "/none",
        "CNI_IFNAME": "e",
        "CNI_PATH": "/none",
    }

    told = subprocess.run(
        [program, *command[1:]],
        env=environ,
        input='{"cniVersion": "1.1.0", "name": "net"}',
        capture_output=True,
        text=True,
        check=False,
    )

    assert told.returncode == 1
    assert f"an installed file cannot be read: {broken}: " in told.stderr
    assert "Traceback" not in told.stderr
    if command[0].startswith("cni/"):
        assert json.loads(told.stdout)["code"] == 5
    if command[1:] == ("info",):
        assert str(broken) in json.loads(told.stdout)["error"]


def test_the_build_id_is_the_hash_of_the_tree() -> None:
    assert (DIST / "lib" / freeze.BUILD_ID).read_text() == f"{freeze.build_id(DIST / 'lib')}\n"
