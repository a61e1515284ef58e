"""Cgroups are the machine's, not the world's: which group a pretend host's containers live in, and its end."""

from functools import partial
from pathlib import Path

from tests.lab.hosts import Host
from tests.lab.waiting import until

ROOT = Path("/sys/fs/cgroup")


def parent(host: Host) -> str:
    """Return the name of the group its containers live below: nobody else's."""
    return f"{host.workdir.name}-{host.name}"


def remove(name: str) -> None:
    """Remove a group in every hierarchy with the groups below it, deepest first, each once its last process is gone."""
    for top in (*ROOT.glob(name), *ROOT.glob(f"*/{name}")):
        for group in (*sorted((path for path in top.rglob("*") if path.is_dir()), reverse=True), top):
            until(partial(_removed, group), f"{group} is empty")


def _removed(group: Path) -> bool:
    """Try to remove a group; say whether it is gone."""
    try:
        group.rmdir()
    except OSError:
        return not group.exists()
    return True
