"""Claims: what is received and what is sent, over IPv4 and IPv6, runs at the configured rate within 10 %; all four at once, each
through a container of its own.
"""

import json
import shutil
import subprocess

import pytest

from kernel import netns
from tests.netns.bandwidth.conftest import Runtime
from tests.netns.spaces import Space

pytestmark = pytest.mark.alone

RATE = 40_000_000
BURST = 800_000
SECONDS = 4
"""The first is left out: the bucket is full when it begins."""

SHARE = 1448 / 1514
"""What TCP carries of what the bucket counts, at an MTU of 1500."""


def start(space: Space, *arguments: str) -> "subprocess.Popen[str]":
    with netns.inside(space.namespace):
        return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ready(server: "subprocess.Popen[str]") -> None:
    assert server.stdout
    for line in server.stdout:
        if "listening" in line:
            return
    pytest.fail("iperf3 did not start")


def test_measured_rates_are_the_configured_ones(runtime: Runtime) -> None:
    assert shutil.which("iperf3"), "iperf3 is absent: make setup FOR=test installs it"
    limits = {
        f"{way}{what}": value for way in ("ingress", "egress") for what, value in (("Rate", RATE), ("Burst", BURST))
    }
    ways = [(4, True), (4, False), (6, True), (6, False)]
    started: list[subprocess.Popen[str]] = []
    try:
        clients = {}
        for number, (family, sends) in enumerate(ways, 1):
            container = runtime.container(number)
            runtime.add(container, **limits)
            server = start(container.space, "iperf3", "-s", "-1", "--forceflush")
            started.append(server)
            ready(server)
            address = f"10.{number}.0.2" if family == 4 else f"fd00:{number}::2"
            direction = ("-R",) if sends else ()
            client = start(runtime.host, "iperf3", "-c", address, "-J", "-t", str(SECONDS), "-O", "1", *direction)
            started.append(client)
            clients[family, sends] = client
        for way, client in clients.items():
            report = json.loads(client.communicate(timeout=SECONDS + 20)[0])
            measured = report["end"]["sum_received"]["bits_per_second"] / SHARE
            assert measured == pytest.approx(RATE, rel=0.1), way
    finally:
        for process in started:
            process.kill()
            process.communicate()
