"""Claims: a name that cannot be a link's is refused before the device node is touched."""

import pytest

from kernel import tun
from kernel.errors import KernelError


@pytest.mark.parametrize("name", ["", "sixteen-bytes-xx"])
def test_an_impossible_name_is_refused(name: str) -> None:
    with pytest.raises(KernelError, match="1 to 15 bytes"):
        tun.open_tun(name)
