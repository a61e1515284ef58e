"""Claims: /healthz is 200, /readyz 503 with what is missing until nothing is, all else 404; over a real socket, with any method,
a HEAD without body, and what is not HTTP answered 400; a loop that hangs is 503 on both paths; /metrics is what it is handed.
"""

import asyncio
import json
from typing import Any

import pytest

from overlay import health
from overlay.health import Health

READY = Health((), {"peers": 2})
STUCK = Health(("loop: no pass",), {"peers": 2}, alive=False)
WAITING = Health(("lease: out of subnets",), {"peers": 0})


@pytest.mark.parametrize(
    ("path", "state", "code", "body"),
    [
        ("/healthz", WAITING, 200, {"status": "running", "peers": 0}),
        ("/readyz", WAITING, 503, {"status": "not ready", "missing": ["lease: out of subnets"], "peers": 0}),
        ("/readyz", READY, 200, {"status": "ready", "peers": 2}),
        ("/healthz", STUCK, 503, {"status": "stuck", "missing": ["loop: no pass"], "peers": 2}),
        ("/readyz", STUCK, 503, {"status": "not ready", "missing": ["loop: no pass"], "peers": 2}),
        ("/", READY, 404, {"status": "unknown path", "paths": ["/healthz", "/readyz", "/metrics"]}),
    ],
)
def test_each_path_has_its_answer(path: str, state: Health, code: int, body: dict[str, Any]) -> None:
    assert health.answer(path, state) == (code, body)


async def measure() -> tuple[str, bytes]:
    return "text/plain", b"tulle_peers 2.0\n"


async def ask(request: bytes) -> tuple[bytes, bytes]:
    server = await health.serve("127.0.0.1", 0, lambda: WAITING, measure)
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(request)
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
    return head, body


@pytest.mark.parametrize("method", [b"GET", b"POST"])
def test_a_probe_gets_code_and_json(method: bytes) -> None:
    head, body = asyncio.run(ask(method + b" /readyz?verbose HTTP/1.1\r\nHost: x\r\n\r\n"))
    assert head.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert f"Content-Length: {len(body)}".encode() in head
    assert json.loads(body)["missing"] == ["lease: out of subnets"]


def test_metrics_are_what_it_is_handed() -> None:
    head, body = asyncio.run(ask(b"GET /metrics HTTP/1.1\r\n\r\n"))
    assert b"Content-Type: text/plain\r\n" in head
    assert body == b"tulle_peers 2.0\n"


def test_a_head_request_gets_no_body() -> None:
    head, body = asyncio.run(ask(b"HEAD /healthz HTTP/1.0\r\n\r\n"))
    assert (head[:15], body) == (b"HTTP/1.1 200 OK", b"")


@pytest.mark.parametrize("request_", [b"\xff\r\n\r\n", b"GET /healthz\r\n\r\n", b"GET / SPDY/3\r\n\r\n"])
def test_what_is_not_http_is_answered_400(request_: bytes) -> None:
    assert asyncio.run(ask(request_))[0].startswith(b"HTTP/1.1 400 ")


def test_an_endless_request_is_cut_off() -> None:
    head, body = asyncio.run(ask(b"GET /" + b"x" * (3 * health.LARGEST)))
    assert (head, body) == (b"", b"")
