"""Claims, against real members: the next endpoint is asked when one is away or hangs, a writing only where nothing was sent; TLS works
with a CA alone and with a client certificate, and is refused without trust; users and passwords work, tokens are renewed, and a
member without authentication is no obstacle; an authority that does not say what its key is for is one, also where Python is strict about
that, and so is an intermediate one; certificates that are replaced are read again, and a file that is broken then is a store error; files that cannot be used are refused by name; no password is in any text; a connection
that breaks under a call or a watch ends neither the task that made it nor its next deadline.
"""

import asyncio
import errno
import os
import shutil
import signal
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from overlay.errors import Refused, StoreError
from overlay.stores.etcd import client as etcd_client
from overlay.stores.etcd import keys, messages
from overlay.stores.etcd.client import Client, Credentials
from overlay.stores.etcd.messages import LeaseGrantResponse, RangeResponse, WatchResponse
from tests.lab.etcd import Certificates, Etcd, certificates, free_port

GET = messages.get(b"x")


async def asked(client: Client) -> RangeResponse:
    return await client.call("KV/Range", GET, RangeResponse.parse)


def ask(urls: str, credentials: Credentials | None = None, times: int = 1) -> RangeResponse:
    async def whole() -> RangeResponse:
        client = Client(keys.endpoints(urls), credentials or Credentials())
        try:
            for _ in range(times - 1):
                await asked(client)
            return await asked(client)
        finally:
            client.close()

    return asyncio.run(whole())


@pytest.fixture
def silent() -> Iterator[str]:
    """A URL that accepts connections and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory, files: Certificates) -> Iterator[Etcd]:
    etcd = Etcd(tmp_path_factory.mktemp("secure"), files).start()
    yield etcd
    etcd.stop()


def test_the_next_member_is_asked_when_one_is_away(member: Etcd) -> None:
    assert ask(f"http://127.0.0.1:{free_port()},{member.url}", times=2).header.revision > 0


def test_the_next_member_is_asked_when_one_hangs(member: Etcd, silent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(etcd_client, "ANSWERING", 0.3)
    assert ask(f"{silent},{member.url}").header.revision > 0


def test_what_writes_is_asked_again_only_where_nothing_was_sent(
    member: Etcd, silent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(etcd_client, "ANSWERING", 0.3)

    async def write(urls: str) -> LeaseGrantResponse:
        client = Client(keys.endpoints(urls), Credentials())
        try:
            return await client.call("Lease/LeaseGrant", messages.grant(60), LeaseGrantResponse.parse, again=False)
        finally:
            client.close()

    assert asyncio.run(write(f"http://127.0.0.1:{free_port()},{member.url}")).seconds == 60
    with pytest.raises(StoreError, match=f"{silent}: no answer in time$"):
        asyncio.run(write(f"{silent},{member.url}"))


def test_every_member_that_failed_is_named() -> None:
    one, two = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
    with pytest.raises(StoreError, match=f"{one}: connection refused; {two}: connection refused"):
        ask(f"{one},{two}")


@pytest.mark.parametrize("url", ["http://no-such-host.invalid", f"http://{'a' * 70}.invalid"])
def test_a_name_that_does_not_resolve_is_a_store_error(url: str) -> None:
    with pytest.raises(StoreError, match=url):
        ask(url)


def test_tls_works_with_a_ca_alone(secure: Etcd, files: Certificates) -> None:
    assert ask(secure.url, Credentials(ca=str(files.ca))).header.revision > 0


@pytest.fixture
def strict(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Python make contexts as it does from 3.13 on."""
    make = ssl.create_default_context

    def made(*, cafile: str | None) -> ssl.SSLContext:
        context = make(cafile=cafile)
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        return context

    monkeypatch.setattr(ssl, "create_default_context", made)


def test_an_authority_that_does_not_say_what_its_key_is_for_is_one(
    strict: None, secure: Etcd, files: Certificates
) -> None:
    assert ask(secure.url, Credentials(ca=str(files.ca))).header.revision > 0
    assert "Key Usage" not in subprocess.check_output(["openssl", "x509", "-in", files.ca, "-text"], text=True)


def test_verification_stays_as_it_was_otherwise(strict: None, files: Certificates) -> None:
    context = etcd_client.tls(Credentials(ca=str(files.ca)))
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert not context.verify_flags & ssl.VERIFY_X509_STRICT


def test_the_members_own_certificate_may_stand_for_its_authority(secure: Etcd, files: Certificates) -> None:
    assert ask(secure.url, Credentials(ca=str(files.certificate))).header.revision > 0


def test_certificates_that_are_replaced_are_read_again(secure: Etcd, files: Certificates, tmp_path: Path) -> None:
    trusted = tmp_path / "ca.pem"
    shutil.copy(certificates(tmp_path / "other").ca, trusted)

    async def whole() -> None:
        client = Client(keys.endpoints(secure.url), Credentials(ca=str(trusted)))
        with pytest.raises(StoreError, match="certificate verify failed"):
            await asked(client)
        trusted.write_text("half")
        with pytest.raises(StoreError, match=f"{trusted}: no usable CA file"):
            await asked(client)
        shutil.copy(files.ca, trusted)
        assert (await asked(client)).header.revision > 0
        client.close()

    asyncio.run(whole())


def test_a_file_that_cannot_be_read_just_now_is_a_store_error(
    files: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> ssl.SSLContext:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(ssl, "create_default_context", full)
    with pytest.raises(StoreError, match="Too many open files"):
        Client(keys.endpoints("https://127.0.0.1"), Credentials(ca=str(files.ca)))


def test_a_member_that_is_not_trusted_is_not_asked(secure: Etcd) -> None:
    with pytest.raises(StoreError, match="certificate verify failed"):
        ask(secure.url)


def test_a_member_with_another_name_is_not_trusted(secure: Etcd, files: Certificates) -> None:
    with pytest.raises(StoreError, match=r"certificate verify failed.*127\.0\.0\.2|mismatch"):
        ask(secure.url.replace("127.0.0.1", "[::ffff:127.0.0.1]"), Credentials(ca=str(files.ca)))


def test_plain_text_to_a_tls_member_is_a_store_error(secure: Etcd) -> None:
    with pytest.raises(StoreError):
        ask(secure.url.replace("https", "http"))


def test_a_client_certificate_opens_a_member_that_demands_one(tmp_path: Path, files: Certificates) -> None:
    etcd = Etcd(tmp_path / "demanding", files, client_certificates=True).start()
    try:
        shown = Credentials(ca=str(files.ca), certificate=str(files.certificate), key=str(files.key))
        assert ask(etcd.url, shown).header.revision > 0
        with pytest.raises(StoreError):
            ask(etcd.url, Credentials(ca=str(files.ca)))
    finally:
        etcd.stop()


@pytest.mark.parametrize(
    ("credentials", "problem"),
    [
        (Credentials(ca="/absent.pem"), "/absent.pem: no usable CA file"),
        (Credentials(ca="/dev/null"), "/dev/null: no usable CA file"),
        (
            Credentials(certificate="/absent.pem", key="/absent.key"),
            "/absent.pem, /absent.key: no usable certificate and key",
        ),
    ],
)
def test_files_that_cannot_be_used_are_refused_by_name(credentials: Credentials, problem: str) -> None:
    with pytest.raises(Refused, match=problem):
        Client(keys.endpoints("https://127.0.0.1"), credentials)


ROOT = Credentials("root", "s3cret-word")


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Etcd]:
    """A member with authentication on, whose tokens end with it."""
    etcd = Etcd(tmp_path / "guarded").start()
    etcd.ctl("user", "add", "root:s3cret-word")
    etcd.ctl("user", "grant-role", "root", "root")
    etcd.ctl("auth", "enable")
    etcd.user = ("--user=root:s3cret-word",)
    yield etcd
    etcd.stop()


def test_a_user_is_let_in_and_a_new_token_is_taken_when_the_old_one_is_void(guarded: Etcd) -> None:
    async def whole() -> None:
        client = Client(keys.endpoints(guarded.url), ROOT)
        try:
            await asked(client)
            first = client._token
            guarded.ctl("auth", "disable")  # voids every token
            guarded.ctl("auth", "enable")
            await asked(client)
            assert (bool(first), client._token != first) == (True, True)
        finally:
            client.close()

    asyncio.run(whole())


@pytest.mark.parametrize(
    "wrong", [Credentials(), Credentials("root", "wr0ng-word"), Credentials("nobody", "s3cret-word")]
)
def test_who_is_not_let_in_hears_why_but_no_password(guarded: Etcd, wrong: Credentials) -> None:
    with pytest.raises(StoreError) as refused:
        ask(guarded.url, wrong)
    assert "etcdserver: " in str(refused.value)
    assert "word" not in str(refused.value).replace("password", "")


def test_a_watch_is_opened_with_the_token(guarded: Etcd) -> None:
    async def whole() -> WatchResponse:
        client = Client(keys.endpoints(guarded.url), ROOT)
        try:
            async with client.watch(messages.watch(b"x", b"y", 1)) as stream:
                return await anext(stream)
        finally:
            client.close()

    news = asyncio.run(whole())
    assert (news.created, news.canceled) == (True, False)


def test_credentials_are_no_obstacle_where_authentication_is_off(member: Etcd) -> None:
    assert ask(member.url, ROOT).header.revision > 0


def test_a_password_is_in_no_text_of_the_credentials() -> None:
    assert "s3cret" not in repr(ROOT)


def test_a_silent_watch_is_asked_for_a_sign_of_life(member: Etcd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(etcd_client, "PROGRESS_INTERVAL", 0.1)

    async def whole() -> list[WatchResponse]:
        client = Client(keys.endpoints(member.url), Credentials())
        try:
            async with client.watch(messages.watch(b"x", b"y", 0)) as stream, asyncio.timeout(10):
                return [await anext(stream) for _ in range(3)]
        finally:
            client.close()

    assert [news.created for news in asyncio.run(whole())] == [True, False, False]


def test_a_watch_whose_member_hangs_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(etcd_client, "SILENCE", 0.5)
    etcd = Etcd(tmp_path / "hanging").start()

    async def whole() -> None:
        client = Client(keys.endpoints(etcd.url), Credentials())
        try:
            async with client.watch(messages.watch(b"x", b"y", 0)) as stream:
                await anext(stream)
                etcd.freeze()
                await anext(stream)
        finally:
            client.close()

    with pytest.raises(StoreError, match=r"the watch ended: .*no answer in time"):
        asyncio.run(whole())
    etcd.thaw()
    etcd.stop()


async def breaking(etcd: Etcd, client: Client) -> None:
    """Listen and ask while the member hangs, then have it die under both."""
    await asked(client)
    async with client.watch(messages.watch(b"x", b"y", 0)) as stream:
        listening = asyncio.ensure_future(anext(stream))
        etcd.freeze()
        asking = asyncio.create_task(refused(client))
        await asyncio.sleep(0.1)
        etcd.stop(signal.SIGKILL)
        await asking
        await listening


async def refused(client: Client) -> None:
    with pytest.raises(StoreError, match="Connection lost"):
        await asked(client)
    await require_no_wish_to_end()


async def require_no_wish_to_end() -> None:
    """A deadline still is one: it takes a cancellation that is on the task's account for the wish that the task end."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await asyncio.Event().wait()


def test_a_connection_that_breaks_does_not_end_the_task_that_asked(tmp_path: Path) -> None:
    etcd = Etcd(tmp_path / "etcd").start()

    async def whole() -> None:
        client = Client(keys.endpoints(etcd.url), Credentials())
        try:
            with pytest.raises(StoreError, match=r"the watch ended: .*Connection lost"):
                await breaking(etcd, client)
            await require_no_wish_to_end()
        finally:
            client.close()

    try:
        asyncio.run(whole())
    finally:
        etcd.stop(signal.SIGKILL)
