"""The one place that speaks gRPC: connections to etcd's members, one at a time, with a deadline on everything.

A member that does not answer is left for the next one in the list. What only reads is asked again there at once; what
writes is not, because it may have happened: the caller looks again and finds out. Every failure comes out as
StoreError.

grpclib ends a call whose connection breaks by cancelling the task that makes it, and leaves that on the task's account,
where the next asyncio.timeout takes it for somebody's wish that the task end (Python 3.11). So every call and every
watch has a task of its own.
"""

import asyncio
import contextlib
import os
import ssl
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from grpclib.client import Channel, Stream
from grpclib.const import Cardinality, Status
from grpclib.encoding.base import CodecBase
from grpclib.exceptions import GRPCError, ProtocolError, StreamTerminatedError
from h2.exceptions import H2Error

from overlay.errors import Refused, StoreError, unusable
from overlay.stores.etcd import messages
from overlay.stores.etcd.keys import Endpoint
from overlay.stores.etcd.messages import WatchResponse
from overlay.stores.etcd.protobuf import WireError

if TYPE_CHECKING:
    from grpclib.protocol import H2Protocol

CONNECTING = 3.0
"""Seconds a member has to accept a connection, TLS included."""
ANSWERING = 5.0
"""Seconds a member has to answer one call."""
PROGRESS_INTERVAL = 10.0
"""Seconds between two questions to a silent watch; after SILENCE seconds without an answer it counts as broken."""
SILENCE = 3 * PROGRESS_INTERVAL

_T = TypeVar("_T")
_TRANSPORT = (OSError, TimeoutError, StreamTerminatedError, ProtocolError, H2Error, WireError, UnicodeError)
_ELSEWHERE = {Status.UNAVAILABLE, Status.DEADLINE_EXCEEDED, Status.UNKNOWN, Status.CANCELLED, Status.INTERNAL}
"""Answers that another member may give differently."""
_STALE = ("invalid auth token", "auth store is old", "user name is empty")
"""What etcd says when a new token would help."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who we are: a user of etcd's own authentication, and files for TLS; all may be empty."""

    username: str = ""
    password: str = field(default="", repr=False)
    ca: str = ""
    certificate: str = ""
    key: str = ""


class _Plain(CodecBase):
    """Messages are bytes already."""

    __content_subtype__ = "proto"

    def encode(self, message: Any, message_type: Any) -> bytes:  # noqa: ARG002 - the signature is grpclib's
        return bytes(message)

    def decode(self, data: bytes, message_type: Any) -> Any:  # noqa: ARG002 - the signature is grpclib's
        return data


def tls(credentials: Credentials) -> ssl.SSLContext:
    """Make the context for https: TLS 1.2 at least, the system's roots without a CA.

    Certificates are judged as flanneld and etcdctl do: Python 3.13 would by itself refuse an authority's certificate that does not say
    what its key is for, which openssl's usual commands leave out, and earlier ones one of an intermediate authority.
    Raises Refused naming the file, StoreError when it cannot be read just now.
    """
    try:
        context = ssl.create_default_context(cafile=credentials.ca or None)
    except (OSError, ssl.SSLError) as problem:
        what = f"no usable CA file: {problem}"
        raise unusable(problem, what, where=credentials.ca, remedy="name a PEM file") from problem
    context.verify_flags = context.verify_flags & ~ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2"])
    if credentials.certificate:
        try:
            context.load_cert_chain(credentials.certificate, credentials.key, password=_no_passphrase)
        except (OSError, ssl.SSLError, ValueError) as problem:
            where = f"{credentials.certificate}, {credentials.key}"
            remedy = "name a PEM certificate and its key without a passphrase"
            raise unusable(
                problem, f"no usable certificate and key: {problem}", where=where, remedy=remedy
            ) from problem
    return context


def _no_passphrase() -> str:
    """Answer OpenSSL's question, which would else go to the terminal."""
    raise ValueError("the key asks for a passphrase")


class Client:
    """A client of one cluster; `close` it in the loop it worked in."""

    def __init__(self, endpoints: tuple[Endpoint, ...], credentials: Credentials) -> None:
        """Take members and credentials without connecting; raises Refused or StoreError for files that cannot be used."""
        self._endpoints, self._credentials = endpoints, credentials
        if any(endpoint.tls for endpoint in endpoints):
            tls(credentials)
        self._turns = 0
        self._channel: Channel | None = None
        self._line: H2Protocol | None = None
        self._token: str | None = None
        self.heard = time.monotonic()

    def close(self) -> None:
        """Let go of the connection at once: a member that hangs would never hear a farewell."""
        # grpclib has no public way to its transport, and forgets it when closing
        transport = getattr(self._line.connection, "_transport", None) if self._line is not None else None
        if self._channel is not None:
            self._channel.close()
        if transport is not None:
            transport.abort()
        self._channel, self._line = None, None

    async def call(self, method: str, request: bytes, parse: Callable[[bytes], _T], *, again: bool = True) -> _T:
        """Call a unary method, `Service/Method`, and parse its answer; `again`: asking twice does no harm.

        Raises StoreError naming every member tried.
        """
        failures: list[str] = []
        for _ in self._endpoints:
            sent, turns = False, self._turns
            try:
                await self._connected()
                sent = True
                return parse(await self._authorised(method, request))
            except GRPCError as problem:
                failures.append(self._said(problem, turns))
                if problem.status not in _ELSEWHERE:
                    break
            except (StoreError, *_TRANSPORT) as problem:
                failures.append(self._said(problem, turns))
            self._turn(turns)
            if sent and not again:
                break
        raise StoreError("; ".join(failures))

    @contextlib.asynccontextmanager
    async def watch(self, request: bytes) -> AsyncIterator[AsyncIterator[WatchResponse]]:
        """Open a watch that ends when its member has no leader; it raises StoreError when it breaks or goes silent."""
        turns, heard = self._turns, asyncio.Queue[WatchResponse | Exception](maxsize=1)
        watching = asyncio.create_task(self._watch(request, heard))
        try:
            yield _told(heard)
        except (GRPCError, StoreError, *_TRANSPORT) as problem:
            self._turn(turns)
            raise StoreError(f"the watch ended: {self._said(problem, turns)}") from problem
        finally:
            watching.cancel()
            await asyncio.wait([watching])

    def forget_token(self) -> None:
        """Ask for a new token next time: this one was not good enough."""
        self._token = None

    async def _connected(self) -> Channel:
        if self._channel is None:
            endpoint = self._member(self._turns)
            secure = self._secure() if endpoint.tls else None
            self._channel = Channel(endpoint.host, endpoint.port, codec=_Plain(), ssl=secure)
        async with asyncio.timeout(CONNECTING):
            self._line = await self._channel.__connect__()
        return self._channel

    def _secure(self) -> ssl.SSLContext:
        """Read the files anew for every connection: certificates are replaced while we run; raises StoreError."""
        try:
            return tls(self._credentials)
        except Refused as problem:
            raise StoreError(str(problem)) from problem

    def _turn(self, turns: int) -> None:
        """Go on to the next member, unless somebody already has."""
        if turns == self._turns:
            self.close()
            self._turns += 1

    def _member(self, turns: int) -> Endpoint:
        return self._endpoints[turns % len(self._endpoints)]

    async def _authorised(self, method: str, request: bytes) -> bytes:
        """Call with our token; once more with a new one when the server wants that."""
        try:
            return await self._unary(method, request, await self._identity())
        except GRPCError as problem:
            if not self._credentials.username or not _stale(problem):
                raise
        self.forget_token()
        return await self._unary(method, request, await self._identity())

    async def _identity(self) -> dict[str, str]:
        if self._credentials.username and self._token is None:
            request = messages.authenticate(self._credentials.username, self._credentials.password)
            try:
                self._token = messages.token(await self._unary("Auth/Authenticate", request, {}))
            except GRPCError as problem:
                if problem.status is not Status.FAILED_PRECONDITION:  # authentication is not enabled there
                    raise
        return {"token": self._token} if self._token else {}

    async def _unary(self, method: str, request: bytes, metadata: dict[str, str]) -> bytes:
        channel = await self._connected()
        name = f"/etcdserverpb.{method}"
        opening = channel.request(name, Cardinality.UNARY_UNARY, bytes, bytes, timeout=ANSWERING, metadata=metadata)
        async with asyncio.timeout(ANSWERING):
            answer = await asyncio.create_task(_exchange(opening, request))
        self.heard = time.monotonic()
        return answer

    async def _watch(self, request: bytes, heard: asyncio.Queue[WatchResponse | Exception]) -> None:
        """Put into `heard` what comes and, last, what ended it."""
        try:
            channel = await self._connected()
            metadata = {**await self._identity(), "hasleader": "true"}
            opening = channel.request(
                "/etcdserverpb.Watch/Watch", Cardinality.STREAM_STREAM, bytes, bytes, metadata=metadata
            )
            async with opening as stream:
                async with asyncio.timeout(ANSWERING):
                    await stream.send_message(request)
                breathing = asyncio.create_task(_breathe(stream))
                try:
                    await self._receive(stream, heard)
                finally:
                    breathing.cancel()
        except Exception as problem:  # noqa: BLE001 - it is raised where the watch is listened to
            await heard.put(problem)

    async def _receive(self, stream: Stream[bytes, bytes], heard: asyncio.Queue[WatchResponse | Exception]) -> None:
        while True:
            async with asyncio.timeout(SILENCE):
                answer = await stream.recv_message()
            self.heard = time.monotonic()
            if answer is None:
                await stream.end()
                await stream.recv_trailing_metadata()
                raise ProtocolError("the member ended it")
            await heard.put(WatchResponse.parse(answer))

    def _said(self, problem: BaseException, turns: int) -> str:
        """Return what went wrong and where, without a word of what was sent."""
        match problem:
            case GRPCError():
                what = problem.message or problem.status.name
            case TimeoutError():
                what = "no answer in time"
            case ConnectionRefusedError():
                what = "connection refused"
            case OSError() if "Connect call failed" in str(problem) and problem.errno:  # asyncio's word for any reason
                what = os.strerror(problem.errno).lower()
            case _:
                what = str(problem) or type(problem).__name__
        return f"{self._member(turns)}: {what}"


def _stale(problem: GRPCError) -> bool:
    return problem.status is Status.UNAUTHENTICATED or any(words in (problem.message or "") for words in _STALE)


async def _exchange(opening: Stream[bytes, bytes], request: bytes) -> bytes:
    async with opening as stream:
        await stream.send_message(request, end=True)
        answer = await stream.recv_message()
        await stream.recv_trailing_metadata()
    if answer is None:
        raise ProtocolError("an answer without a message")
    return answer


async def _told(heard: asyncio.Queue[WatchResponse | Exception]) -> AsyncIterator[WatchResponse]:
    while not isinstance(news := await heard.get(), Exception):
        yield news
    raise news


async def _breathe(stream: Stream[bytes, bytes]) -> None:
    """Ask for progress for ever; a failure shows in what is received."""
    with contextlib.suppress(GRPCError, *_TRANSPORT):
        while True:
            await asyncio.sleep(PROGRESS_INTERVAL)
            await stream.send_message(messages.ask_progress())
