"""Claims: the README and the pages for newcomers begin with the very same three commands, which tests/e2e/test_pages.py types."""

import pytest

from build.programs import ROOT

COMMANDS = """git clone URL tulle && make -C tulle install
tulle join --now 192.0.2.11 192.0.2.12
tulle init
"""


@pytest.mark.parametrize("name", ["README.md", "docs/start-podman.md", "docs/start-containerd.md"])
def test_there_are_three_commands(name: str) -> None:
    assert f"```sh both\n{COMMANDS}```\n" in (ROOT / name).read_text(encoding="utf-8")
