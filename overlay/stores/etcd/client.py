"""A client of etcd over gRPC: one connection to one member at a time, with a deadline on every call.

A member that does not answer is left for the next one in the list. A call that only reads is made again there at once.
A call that writes is not, because the first one may have been carried out: the caller reads and finds out. Every
failure is raised as StoreError.

When a connection breaks, grpclib cancels the task that made the call. Before Python 3.12 that stays recorded in the
task, and the next asyncio.timeout mistakes it for a request to end the task. So every call and every watch runs in a
task of its own.
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
"""Seconds between two progress requests of a watch; after SILENCE seconds without a response it counts as broken."""
SILENCE = 3 * PROGRESS_INTERVAL

_T = TypeVar("_T")
_TRANSPORT = (OSError, TimeoutError, StreamTerminatedError, ProtocolError, H2Error, WireError, UnicodeError)
_ELSEWHERE = {Status.UNAVAILABLE, Status.DEADLINE_EXCEEDED, Status.UNKNOWN, Status.CANCELLED, Status.INTERNAL}
"""Answers that another member may give differently."""
_STALE = ("invalid auth token", "auth store is old", "user name is empty")
"""What etcd answers when a new token would help."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user of etcd's own authentication, and files for TLS; all may be empty."""

    username: str = ""
    """The user, for etcd's own authentication."""
    password: str = field(default="", repr=False)
    """The user's password."""
    ca: str = ""
    """A PEM file with the certificates of authorities; empty for the system's."""
    certificate: str = ""
    """A PEM file with this host's certificate."""
    key: str = ""
    """A PEM file with its private key."""


class _Plain(CodecBase):
    """A codec for grpclib that changes nothing: our messages are bytes already."""

    __content_subtype__ = "proto"

    def encode(self, message: Any, message_type: Any) -> bytes:  # noqa: ARG002 - the signature is grpclib's
        return bytes(message)

    def decode(self, data: bytes, message_type: Any) -> Any:  # noqa: ARG002 - the signature is grpclib's
        return data


def tls(credentials: Credentials) -> ssl.SSLContext:
    """Return the context for https: TLS 1.2 or later, with the system's authorities if there is no CA file.

    The same certificates are accepted as by flanneld and etcdctl. Python's defaults refuse two kinds of them: an
    authority's certificate without key usage, which openssl's usual commands make (Python 3.13), and an intermediate
    authority as the CA. Raises Refused, naming the file, or StoreError when it cannot be read at this moment.
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
    """Refuse OpenSSL's question for a passphrase, which would otherwise go to the terminal."""
    raise ValueError("the key asks for a passphrase")


class Client:
    """A client of one cluster; `close` it in the loop it worked in."""

    def __init__(self, endpoints: tuple[Endpoint, ...], credentials: Credentials) -> None:
        """Take members and credentials without connecting; raises Refused or StoreError for files that cannot be used."""
        self._endpoints, self._credentials = endpoints, credentials
        if any(endpoint.tls for endpoint in endpoints):
            tls(credentials)
        self._switches = 0
        self._channel: Channel | None = None
        self._line: H2Protocol | None = None
        self._token: str | None = None
        self.heard = time.monotonic()

    def close(self) -> None:
        """Close the connection at once, without waiting for the member, which may hang."""
        # grpclib has no public way to its transport, and forgets it when closing
        transport = getattr(self._line.connection, "_transport", None) if self._line is not None else None
        if self._channel is not None:
            self._channel.close()
        if transport is not None:
            transport.abort()
        self._channel, self._line = None, None

    async def call(self, method: str, request: bytes, parse: Callable[[bytes], _T], *, again: bool = True) -> _T:
        """Call a unary method, `Service/Method`, and parse its response; `again` says that calling twice does no harm.

        Raises StoreError naming every member tried.
        """
        failures: list[str] = []
        for _ in self._endpoints:
            sent, switches = False, self._switches
            try:
                await self._connected()
                sent = True
                return parse(await self._authorised(method, request))
            except GRPCError as problem:
                failures.append(self._message(problem, switches))
                if problem.status not in _ELSEWHERE:
                    break
            except (StoreError, *_TRANSPORT) as problem:
                failures.append(self._message(problem, switches))
            self._switch_member(switches)
            if sent and not again:
                break
        raise StoreError("; ".join(failures))

    @contextlib.asynccontextmanager
    async def watch(self, request: bytes) -> AsyncIterator[AsyncIterator[WatchResponse]]:
        """Open a watch; it raises StoreError when it breaks or goes silent, or when its member has no leader."""
        switches, heard = self._switches, asyncio.Queue[WatchResponse | Exception](maxsize=1)
        watching = asyncio.create_task(self._watch(request, heard))
        try:
            yield _told(heard)
        except (GRPCError, StoreError, *_TRANSPORT) as problem:
            self._switch_member(switches)
            raise StoreError(f"the watch ended: {self._message(problem, switches)}") from problem
        finally:
            watching.cancel()
            await asyncio.wait([watching])

    def forget_token(self) -> None:
        """Ask for a new token with the next call."""
        self._token = None

    async def _connected(self) -> Channel:
        if self._channel is None:
            endpoint = self._member(self._switches)
            secure = self._secure() if endpoint.tls else None
            self._channel = Channel(endpoint.host, endpoint.port, codec=_Plain(), ssl=secure)
        async with asyncio.timeout(CONNECTING):
            self._line = await self._channel.__connect__()
        return self._channel

    def _secure(self) -> ssl.SSLContext:
        """Read the files again for every connection: certificates may be replaced while we run; raises StoreError."""
        try:
            return tls(self._credentials)
        except Refused as problem:
            raise StoreError(str(problem)) from problem

    def _switch_member(self, switches: int) -> None:
        """Go on to the next member, unless another call or watch already has."""
        if switches == self._switches:
            self.close()
            self._switches += 1

    def _member(self, switches: int) -> Endpoint:
        return self._endpoints[switches % len(self._endpoints)]

    async def _authorised(self, method: str, request: bytes) -> bytes:
        """Call with our token, and once more with a new one if the server does not accept it."""
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
        """Put the responses into `heard` and, last, the error that ended the watch."""
        try:
            channel = await self._connected()
            metadata = {**await self._identity(), "hasleader": "true"}
            opening = channel.request(
                "/etcdserverpb.Watch/Watch", Cardinality.STREAM_STREAM, bytes, bytes, metadata=metadata
            )
            async with opening as stream:
                async with asyncio.timeout(ANSWERING):
                    await stream.send_message(request)
                asking = asyncio.create_task(_ask_progress(stream))
                try:
                    await self._receive(stream, heard)
                finally:
                    asking.cancel()
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

    def _message(self, problem: BaseException, switches: int) -> str:
        """Return what went wrong and where, without anything of what was sent: it may be a password."""
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
        return f"{self._member(switches)}: {what}"


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


async def _ask_progress(stream: Stream[bytes, bytes]) -> None:
    """Send progress requests without end; a failure shows in what is received."""
    with contextlib.suppress(GRPCError, *_TRANSPORT):
        while True:
            await asyncio.sleep(PROGRESS_INTERVAL)
            await stream.send_message(messages.ask_progress())
