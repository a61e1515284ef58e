"""A small HTTP server: /healthz, /readyz (with what is missing), and /metrics.

It speaks as much of HTTP/1.x as probes need: one request per connection, any method, a JSON body except for /metrics
(docs/reference/flannel.md 4.4 has paths and codes).
"""

import asyncio
import json
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

PATIENCE = 5.0
"""Seconds a client has for its request."""
LARGEST = 8192
"""Bytes of a request's head."""
CROWD = 32
"""Connections that are served at a time; a probe needs one for a moment, others are closed at once."""

Measure = Callable[[], Awaitable[tuple[str, bytes]]]


@dataclass(frozen=True, slots=True)
class Health:
    """How the daemon is."""

    missing: tuple[str, ...]
    """What is missing for readiness; empty when ready."""
    facts: Mapping[str, object]
    """What a person may want to know."""
    alive: bool = True
    """Whether the daemon works at all."""


def answer(path: str, health: Health) -> tuple[int, dict[str, object]]:
    """Return status code and body for a path."""
    if path == "/healthz" and not health.alive:
        return 503, {"status": "stuck", "missing": list(health.missing), **health.facts}
    if path == "/healthz":
        return 200, {"status": "running", **health.facts}
    if path == "/readyz" and health.missing:
        return 503, {"status": "not ready", "missing": list(health.missing), **health.facts}
    if path == "/readyz":
        return 200, {"status": "ready", **health.facts}
    return 404, {"status": "unknown path", "paths": ["/healthz", "/readyz", "/metrics"]}


async def serve(address: str, port: int, look: Callable[[], Health], measure: Measure) -> asyncio.Server:
    """Start answering; raises OSError when the address cannot be had. `measure` gives the type and body of /metrics."""
    crowd = 0

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal crowd
        crowd += 1
        try:
            async with asyncio.timeout(PATIENCE):
                if crowd <= CROWD:
                    await _exchange(reader, writer, look, measure)
                writer.close()
                await writer.wait_closed()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            if (
                writer.transport.get_write_buffer_size()
            ):  # what a client does not read is not kept for it, in the kernel neither
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        finally:
            crowd -= 1

    return await asyncio.start_server(meet, address, port, limit=LARGEST)


async def _exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, look: Callable[[], Health], measure: Measure
) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    words = head.split(b"\r\n", 1)[0].split()
    if len(words) != 3 or not words[2].startswith(b"HTTP/1."):
        writer.write(_response(400, *_json({"status": "not an HTTP/1 request"})))
    else:
        path = words[1].decode("ascii", "replace").partition("?")[0]
        if path == "/metrics":
            code, said = 200, await measure()
        else:
            code, document = answer(path, look())
            said = _json(document)
        writer.write(_response(code, *said, head_only=words[0] == b"HEAD"))
    await writer.drain()


_REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 503: "Service Unavailable"}


def _json(document: dict[str, object]) -> tuple[str, bytes]:
    return "application/json", json.dumps(document).encode()


def _response(code: int, kind: str, body: bytes, *, head_only: bool = False) -> bytes:
    head = (
        f"HTTP/1.1 {code} {_REASONS[code]}\r\nContent-Type: {kind}\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + (b"" if head_only else body)
