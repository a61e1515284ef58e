"""Claims about what the launcher holds in memory:

- a configuration reaches the cold program byte for byte: empty, slow, as large as allowed
- one byte more is read and no further, so that the cold program refuses it
- a stdin that cannot be read is left to the cold program to complain about
- without memory files, stdin goes to the cold program as it is
- a non-blocking stdin is waited for
"""

import os
from pathlib import Path

import pytest

from cni.dispatch import STDIN_BYTES
from tests.lab.launchers import CONFIG, Launcher, digest


@pytest.mark.parametrize("size", [0, 1, 65536, 65537, STDIN_BYTES], ids=str)
def test_a_configuration_arrives_byte_for_byte(size: int, launcher: Launcher) -> None:
    config = os.urandom(size)

    [cold] = launcher.run("ADD", config).cold

    assert (cold["size"], cold["stdin"]) == (size, digest(config))


def test_a_configuration_without_end_is_cut_where_the_cold_program_refuses_it(launcher: Launcher) -> None:
    with Path("/dev/zero").open("rb") as endless:
        outcome = launcher.finish(launcher.start(launcher.environ("ADD"), endless))

    assert outcome.cold[0]["size"] == STDIN_BYTES + 1


def test_a_stdin_that_cannot_be_read_is_left_as_it_is(launcher: Launcher) -> None:
    with Path("/dev/null").open("wb") as unreadable:
        outcome = launcher.finish(launcher.start(launcher.environ("ADD", READ="0"), unreadable))

        assert outcome.cold[0]["inode"] == os.fstat(unreadable.fileno()).st_ino


def test_a_stdin_that_does_not_block_is_waited_for(launcher: Launcher) -> None:
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    process = launcher.start(launcher.environ("ADD"), reading)
    os.close(reading)
    os.write(writing, CONFIG[:10])
    os.write(writing, CONFIG[10:])
    os.close(writing)

    assert launcher.finish(process).cold[0]["stdin"] == digest(CONFIG)


@pytest.mark.parametrize("limit", [3, 4, 5, 6, 8, 12])
def test_too_few_descriptors_lead_to_the_cold_program(limit: int, plain: Launcher) -> None:
    command = ["/bin/sh", "-c", f'ulimit -S -n {limit}; exec "$0"', str(plain.bridge)]

    [cold] = plain.finish(plain.start(plain.environ("ADD"), command=command), CONFIG).cold

    assert cold["stdin"] == digest(CONFIG)
    assert cold["descriptors"] == [0, 1, 2]
