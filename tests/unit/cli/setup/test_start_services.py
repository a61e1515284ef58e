"""Claims about how a start of the daemon is told: its own complaint is found in a line of its log, and what is none is not taken for one."""

import pytest

from cli.setup import start_services


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            'time=x level=warning event="waiting for the network config" problem="http://192.0.2.9:2379: connection refused"',
            "http://192.0.2.9:2379: connection refused",
        ),
        ('time=x level=error event="tulled ends" reason="a \\"quoted\\" word"', 'a "quoted" word'),
        ("time=x level=error reason=short", "short"),
        (
            "tulled: --etcd-endpoints: 'x' cannot be used; write URLs",
            "--etcd-endpoints: 'x' cannot be used; write URLs",
        ),
        ('time=x level=info event="lease acquired" subnet=10.42.1.0/24', ""),
        ("Started tulled.service.", ""),
    ],
)
def test_the_daemons_complaint_is_found(line: str, said: str) -> None:
    assert start_services.complaint(line) == said
