"""Claims: /healthz is 200, /readyz 503 with what is missing until nothing is, all else 404; over a real socket, with any method,
a HEAD without body, and what is not HTTP answered 400; a loop that hangs is 503 on both paths; /metrics is what it is handed; who
says nothing or reads nothing is let go in time, and a crowd holds nobody up for longer.
"""

import asyncio
import json
import select
import socket
from typing import Any

import pytest

from overlay.monitoring import http
from overlay.monitoring.http import Health

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
    assert http.answer(path, state) == (code, body)


async def measure() -> tuple[str, bytes]:
    return "text/plain", b"tulle_peers 2.0\n"


async def ask(request: bytes) -> tuple[bytes, bytes]:
    server = await http.serve("127.0.0.1", 0, lambda: WAITING, measure)
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(request)
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
    return head, body


def test_who_says_nothing_is_let_go_and_a_crowd_holds_nobody_up_for_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "PATIENCE", 0.5)
    monkeypatch.setattr(http, "CROWD", 3)

    async def crowd() -> list[bytes]:
        server = await http.serve("127.0.0.1", 0, lambda: READY, measure)
        async with server:
            where = server.sockets[0].getsockname()
            idle = [await asyncio.open_connection(*where) for _ in range(3)]
            late, _ = (other := await asyncio.open_connection(*where))
            said = [await late.read()]  # one too many: closed at once
            said += [await reader.read() for reader, _ in idle]
            reader, writer = await asyncio.open_connection(*where)
            writer.write(b"GET /readyz HTTP/1.1\r\n\r\n")
            said.append((await reader.read())[:15])
            for _, open_one in (*idle, other, (reader, writer)):
                open_one.close()
        return said

    assert asyncio.run(asyncio.wait_for(crowd(), 10)) == [b"", b"", b"", b"", b"HTTP/1.1 200 OK"]


def test_who_reads_nothing_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "PATIENCE", 0.5)

    async def large() -> tuple[str, bytes]:
        return "text/plain", b"x" * (64 << 20)

    async def deaf() -> int:
        server = await http.serve("127.0.0.1", 0, lambda: READY, large)
        async with server:
            with socket.create_connection(server.sockets[0].getsockname()) as client:
                client.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
                poll = select.poll()
                poll.register(client, select.POLLHUP)
                ((_, event),) = await asyncio.to_thread(poll.poll, 5000)
        return event

    assert asyncio.run(deaf()) & select.POLLERR


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
    head, body = asyncio.run(ask(b"GET /" + b"x" * (3 * http.LARGEST)))
    assert (head, body) == (b"", b"")
