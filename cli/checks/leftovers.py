"""Checks of what attachments left, and of what runtimes will find. Must not remove anything: that is `tulle gc`."""

from collections.abc import Iterator

from cli.checks import Evidence, Finding, InapplicableError
from cli.remains import DEAD, Remain


def reservations(seen: Evidence) -> Iterator[Finding]:
    """Hold that every address that is held is a container's."""
    if seen.survey.book is None:
        raise InapplicableError("there is no lease file, so no address book")
    if seen.survey.book.problem:
        yield Finding(seen.survey.book.problem, "see that root can read the address book")
    yield from (_told(one) for one in seen.remains if one.what.startswith("address "))


def leaks(seen: Evidence) -> Iterator[Finding]:
    """Hold that every link and rule of an attachment belongs to one that lives."""
    yield from (_told(one) for one in seen.remains if not one.what.startswith("address "))


def programs(seen: Evidence) -> Iterator[Finding]:
    """Hold that each runtime finds a configuration with our lease, and the programs that it names."""
    if not seen.runtimes:
        raise InapplicableError(
            "neither Podman, containerd nor nerdctl is installed; --conf-dir names another runtime's"
        )
    lease_file = seen.survey.settings.subnet_file
    for each in seen.runtimes:
        ours = [one for one in each.conflists if lease_file in one.lease_files]
        if not ours and not each.driver:
            yield Finding(
                f"{each.runtime.name} has no configuration in {each.runtime.conf_dir} that goes by {lease_file}",
                f"put conf/10-tulle.conflist of this project into {each.runtime.conf_dir}, unchanged",
            )
        for one in each.conflists:
            if one.problem:
                yield Finding(f"{one.path}: {one.problem}", "correct or remove it; tulle lint says what is wrong")
        for name, path in each.programs.items():
            if not path:
                yield Finding(
                    f"{each.runtime.name} does not find the program {name} in {' or '.join(each.runtime.bin_dirs)}",
                    "make install CNI_BIN=DIRECTORY, with a directory that runtime reads (Debian: the package tulle-cni)",
                )


def names(seen: Evidence) -> Iterator[Finding]:
    """Hold that names of containers on networks of the Podman driver resolve."""
    if seen.nameless is None:
        raise InapplicableError("no container here is on a network of the Podman driver with names")
    if seen.nameless:
        remedy = "mend that, and start a container: it has names from then on, and those before when started again"
        yield Finding(f"names do not resolve: {seen.nameless}", remedy)


def _told(one: Remain) -> Finding:
    whose = f" of {one.owner.alias}" if one.owner else ""
    unknown = "tulle gc keeps it; if its container is gone, have the runtime detach that (DEL), which takes it away"
    remedy = "tulle gc removes it" if one.verdict == DEAD else unknown
    return Finding(f"{one.what}{whose}: {one.reason}", remedy)
