"""The etcd that the tests of this directory share; each test takes a prefix of its own."""

from collections.abc import Iterator

import pytest

from tests.lab.etcd import Etcd


@pytest.fixture(scope="session")
def member(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Etcd]:
    """A member that runs for the whole session: use keys below a prefix of your own, and do not stop it."""
    etcd = Etcd(tmp_path_factory.mktemp("etcd")).start()
    yield etcd
    etcd.stop()
