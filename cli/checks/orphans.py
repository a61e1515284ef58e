"""Checks of what attachments left behind, and of what runtimes will find. `tulle gc` removes such things."""

from collections.abc import Iterator

from cli.checks import DoctorInput, Finding, InapplicableError
from cli.inspect.cni_configs import RuntimeConfig
from cli.inspect.orphans import DEAD, Orphan
from cli.setup import address_books


def reservations(seen: DoctorInput) -> Iterator[Finding]:
    """Yield a finding for each reserved address that no container has."""
    if seen.survey.book is None:
        raise InapplicableError("there is no lease file, so no address book")
    if seen.survey.book.problem:
        yield Finding(seen.survey.book.problem, "see that root can read the address book")
    yield from (_told(one) for one in seen.remains if one.what.startswith("address "))


def leaks(seen: DoctorInput) -> Iterator[Finding]:
    """Yield a finding for each link and rule whose attachment does not exist any more."""
    yield from (_told(one) for one in seen.remains if not one.what.startswith("address "))


def duplicates(seen: DoctorInput) -> Iterator[Finding]:
    """Yield a finding unless one address book gives out the subnet, and each address is on only one link."""
    if seen.survey.lease is None:
        raise InapplicableError("there is no lease file, so no subnet of this host")
    for first, second in address_books.clashes(seen.machine) if seen.machine else ():
        yield Finding(
            f"{first} and {second} give out addresses of this host's subnet by two books, so the same one twice",
            "take one of them back (tulle init --undo, or remove the file where it is not tulle's), and stop its containers",
        )
    for address in dict.fromkeys(one.address for one in seen.holders):
        links = [one.link for one in seen.holders if one.address == address]
        if len(links) > 1:
            yield Finding(
                f"{address} stands on {' and on '.join(links)}",
                "stop all but one of these; two runtimes that share the subnet without one book gave it twice: tulle init says which may",
            )


def programs(seen: DoctorInput) -> Iterator[Finding]:
    """Yield a finding for each runtime that lacks a configuration with our lease, or a program that it names.

    A runtime with another address book than the one that has the subnet needs no configuration.
    """
    if seen.unread:
        yield Finding(seen.unread, "correct that file: the runtime does not read it either")
    if not seen.runtimes:
        raise InapplicableError(
            "neither Podman, containerd nor nerdctl is installed; --conf-dir names another runtime's"
        )
    served = _served(seen)
    for each in seen.runtimes:
        name = each.command
        if not _found(each, seen) and (not name or name in served):
            yield Finding(
                f"{each.runtime.name} has no configuration in {each.runtime.conf_dir} that goes by {seen.survey.settings.subnet_file}",
                f"tulle init {name}" if name else f"put a conflist with subnetFile into {each.runtime.conf_dir}",
            )
        for one in each.conflists:
            if one.problem:
                yield Finding(f"{one.path}: {one.problem}", "correct or remove it; tulle lint says what is wrong")
        for program, path in each.programs.items():
            if not path:
                yield Finding(
                    f"{each.runtime.name} does not find the program {program} in {' or '.join(each.runtime.bin_dirs)}",
                    "make install CNI_BIN=DIRECTORY, with a directory that runtime reads (Debian: the package tulle-cni)",
                )


def _served(seen: DoctorInput) -> tuple[str, ...]:
    """Return the runtimes that `tulle init` would serve here; all of them where a person must choose."""
    installed = [each.command for each in seen.runtimes if each.command]
    if seen.machine is None:
        return tuple(installed)
    choice = address_books.choose(installed, seen.machine)
    standing = {claim.book for claim in seen.machine.claims}
    served = choice.served or choice.left_out
    return tuple(one for one in served if not standing or address_books.of_runtime(one, seen.machine) in standing)


def _found(each: RuntimeConfig, seen: DoctorInput) -> bool:
    """Return whether a runtime knows the network: by a configuration, a network of netavark, or our driver."""
    if each.driver or any(seen.survey.settings.subnet_file in one.lease_files for one in each.conflists):
        return True
    here = seen.machine
    return here is not None and any(claim.book == address_books.of_runtime(each.command, here) for claim in here.claims)


def names(seen: DoctorInput) -> Iterator[Finding]:
    """Yield a finding unless names of containers on the Podman driver's networks resolve."""
    if seen.nameless is None:
        raise InapplicableError("no container here is on a network of the Podman driver with names")
    if seen.nameless:
        remedy = "mend that, and start a container: it has names from then on, and those before when started again"
        yield Finding(f"names do not resolve: {seen.nameless}", remedy)


def _told(one: Orphan) -> Finding:
    whose = f" of {one.owner.alias}" if one.owner else ""
    unknown = "tulle gc keeps it; if its container is gone, have the runtime detach that (DEL), which takes it away"
    remedy = "tulle gc removes it" if one.verdict == DEAD else unknown
    return Finding(f"{one.what}{whose}: {one.reason}", remedy)
