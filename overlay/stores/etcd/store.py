"""The store that real machines share: etcd v3, with flannel's keys and values, byte for byte.

Follows docs/reference/flannel.md 0, 2 and 12. Written are only perfect lease keys with perfect values; each writing is a transaction
that holds only while nobody else was faster: a new lease while no key has its base address, a renewal while the key is as just read
and names our PublicIP, or is gone. A revision from earlier decides nothing, so a restored backup locks nobody out. Keys without a
lease are reservations and stay so. Blind spot: a restored cluster that looks like the old one, only newer, is noticed at the
next listing.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from typing import NoReturn

from overlay.backends import registry
from overlay.errors import Refused, StoreError
from overlay.stores import Delta, Snapshot, Update
from overlay.stores.etcd import messages
from overlay.stores.etcd.client import Client
from overlay.stores.etcd.keys import Keys, behind
from overlay.stores.etcd.messages import Header, KeyValue, LeaseGrantResponse, RangeResponse, TxnResponse, WatchResponse
from overlay.subnet import attributes as values
from overlay.subnet import lease as leases
from overlay.subnet.allocation import Subnet, parse_key
from overlay.subnet.attributes import Attributes
from overlay.subnet.lease import TTL, Lease

ATTEMPTS = 3
"""How often a renewal is decided anew when somebody writes the key between our look and our word."""
WATCH_BACKOFF, WATCH_CEILING = 0.1, 5.0
"""Seconds between attempts to take a watch up again, doubling (docs/reference/flannel.md 2.7)."""
PATIENCE = 4
"""Attempts in a row that may fail before the watch says so."""
GRACE = 60.0
"""Seconds that hosts have to come back after a backup was restored that does not know them, before they are given up."""

_BAD_KEY = "leave it while any flanneld up to 0.28.9 runs in this network, it would drop its peers when the key goes; then delete it"


class EtcdStore:
    """One network below one prefix; see the protocol overlay.stores.Store for what the methods promise."""

    exchanges = True

    def __init__(self, client: Client, prefix: str, *, report: Callable[[Refused], None], ttl: float = TTL) -> None:
        """Take a client over; `report` is told of keys nobody can use, each as often as it is read."""
        self._client, self._keys, self._report, self._ttl = client, Keys.below(prefix), report, ttl
        self._seen = Header(0, 0, 0)
        self._own: Subnet | None = None
        self._due: float | None = None

    @property
    def heard(self) -> float:
        """When the last answer came, of any member."""
        return self._client.heard

    def close(self) -> None:
        """Let go of the connection; nothing is revoked (docs/reference/flannel.md 2.3)."""
        self._client.close()

    def moved(self) -> None:
        """Let the next call, and the watch, connect anew."""
        self._client.close()

    async def read_config(self) -> str:
        """Return the config's text; raises StoreError while there is none: somebody may be about to put it."""
        listing = await self._get(self._keys.config)
        if not listing.entries:
            key = _shown(self._keys.config)
            example = '{"Network":"10.42.0.0/16","Backend":{"Type":"vxlan"}}'
            raise StoreError(f"etcd has no network config at {key}; put one: etcdctl put {key} '{example}'")
        return listing.entries[0].value.decode(errors="replace")

    async def leases(self) -> Snapshot:
        """List all leases with one question; how long others' still live, nobody needs to know (docs/reference/flannel.md 12)."""
        listing = await self._list()
        return Snapshot(tuple(self._parsed(listing.entries)), listing.header.revision)

    async def create(self, subnet: Subnet, attributes: Attributes) -> Lease | None:
        """Take `subnet` under a new lease unless anything overlaps it, now or when written (docs/reference/flannel.md 2.3, 2.5)."""
        key, value = self._perfect(subnet, attributes)
        taken = (await self._list()).entries
        _refuse_mixture(subnet, taken, self._keys)
        if any(self._overlaps(entry, subnet) for entry in taken):
            return None
        base = self._keys.base(subnet)
        grant = await self._grant()
        outcome = await self._commit(messages.put_if([messages.absent(base, behind(base))], key, value, grant.lease))
        if not outcome.done:
            await self._revoke(grant)
            return None
        written = outcome.header.revision
        if await self._outrun(subnet, key, written):
            await self._commit(messages.delete_if([messages.unmodified(key, written)], key))
            await self._revoke(grant)
            return None
        self._own = subnet
        return Lease(subnet, attributes, written, float(grant.seconds))

    async def replace(self, lease: Lease, attributes: Attributes) -> Lease | None:
        """Write the lease anew while its key names our PublicIP, or says what the lease given says and was not written since.

        None when it names another host, or others keep writing it.
        """
        key, value = self._perfect(lease.subnet, attributes)
        for _ in range(ATTEMPTS):
            entries = (await self._get(key)).entries
            if not entries:
                return await self.create(lease.subnet, attributes)
            found = entries[0]
            if not self._is_of(found, lease, attributes):
                return None
            renewed = await self._rewrite(found, Lease(lease.subnet, attributes), value)
            if renewed is not None:
                self._own = lease.subnet
                return renewed
        return None

    async def remove(self, lease: Lease) -> bool:
        """Delete a lease that was not written since it was listed."""
        key = self._keys.lease(lease.subnet)
        return (await self._commit(messages.delete_if([messages.unmodified(key, lease.version)], key))).done

    async def watch(self, cursor: int) -> AsyncIterator[Update]:
        """Tell changes as etcd tells them; a broken watch goes on behind the last change, elsewhere if need be.

        A Snapshot when that revision is compacted. When the cluster is not the one it was, what it has, and only GRACE
        seconds later the Snapshot that ends what it has not. Raises StoreError when several attempts failed.
        """
        pause, failures, known = WATCH_BACKOFF, 0, Header(self._seen.cluster, cursor, self._seen.term)
        while True:
            try:
                async with self._client.watch(self._watching(known.revision + 1)) as stream:
                    async for news in stream:
                        update, whole = await self._tell(known, news)
                        known = self._seen
                        pause, failures = WATCH_BACKOFF, 0
                        if update is not None:
                            yield update
                        if whole:
                            break
            except StoreError:
                failures += 1
                if failures >= PATIENCE:
                    raise
            await asyncio.sleep(pause)
            pause = min(WATCH_CEILING, pause * 2)

    def _watching(self, revision: int) -> bytes:
        return messages.watch(self._keys.subnets, self._keys.subnets_end, revision)

    async def _tell(self, known: Header, news: WatchResponse) -> tuple[Update | None, bool]:
        """Turn an answer of the watch into an update; True when it came from a new listing and the watch must follow that."""
        if news.canceled and not news.compacted:
            self._client.forget_token()
            raise StoreError(f"etcd ended the watch: {news.reason or 'no reason given'}")
        if news.canceled or _is_another(known, news.header) or self._is_due():
            return await self._start_over(known), True
        return self._follow(known, news), False

    async def _start_over(self, known: Header) -> Update:
        """List again; from a restored cluster only what it has, and whether our own lease is missing."""
        listing = await self._list()
        revision, found = listing.header.revision, tuple(self._parsed(listing.entries))
        self._seen = listing.header
        if not _is_another(known, listing.header):
            self._due = None
            return Snapshot(found, revision)
        self._due = asyncio.get_running_loop().time() + GRACE
        own = self._own
        missing = own is not None and all(lease.subnet != own for lease in found)
        return Delta(found, (own,) if missing and own is not None else (), revision)

    def _is_due(self) -> bool:
        return self._due is not None and asyncio.get_running_loop().time() >= self._due

    def _follow(self, known: Header, news: WatchResponse) -> Delta | None:
        """Fold the changes by key; go on behind the last of them, not behind the header, which may be further ahead."""
        revision = max([known.revision, *(change.entry.modified for change in news.changes)])
        self._seen = Header(news.header.cluster, revision, max(known.term, news.header.term))
        last = {change.entry.key: change for change in news.changes}
        written = tuple(self._parsed(change.entry for change in last.values() if not change.gone))
        gone = tuple(
            subnet for key, change in last.items() if change.gone and (subnet := self._subnet(key)) is not None
        )
        return Delta(written, gone, revision) if written or gone else None

    async def _rewrite(self, found: KeyValue, wanted: Lease, value: bytes) -> Lease | None:
        """Put the value over what was found; a reservation stays without a lease, and is left alone when it says this."""
        if not found.lease and found.value == value:
            return Lease(wanted.subnet, wanted.attributes, found.modified)
        grant = await self._grant() if found.lease else None
        unchanged = messages.unmodified(found.key, found.modified)
        outcome = await self._commit(messages.put_if([unchanged], found.key, value, grant.lease if grant else 0))
        if outcome.done:
            ttl = float(grant.seconds) if grant else None
            return Lease(wanted.subnet, wanted.attributes, outcome.header.revision, ttl)
        if grant:
            await self._revoke(grant)
        return None

    async def _outrun(self, subnet: Subnet, key: bytes, written: int) -> bool:
        """Return whether an overlapping key was there before ours: two hosts may take one IPv6 half at once (2.5)."""
        entries = (await self._list()).entries
        return any(entry.key != key and entry.created < written and self._overlaps(entry, subnet) for entry in entries)

    def _overlaps(self, entry: KeyValue, subnet: Subnet) -> bool:
        held = self._subnet(entry.key)
        return held is not None and held.overlaps(subnet)

    def _is_of(self, entry: KeyValue, lease: Lease, attributes: Attributes) -> bool:
        """Return whether an entry is ours to write: by its PublicIP, or because it is the very one the caller knows as ours."""
        held = leases.parse(self._keys.name(entry.key) or "", entry.value)
        if not isinstance(held, Lease):
            return False
        known = held.attributes == lease.attributes and entry.modified == lease.version
        return known or held.attributes.public_ip == attributes.public_ip

    def _subnet(self, key: bytes) -> Subnet | None:
        try:
            return parse_key(self._keys.name(key) or "")
        except ValueError:
            return None

    def _parsed(self, entries: Iterable[KeyValue]) -> list[Lease]:
        """Read entries; what no host can use is reported and left out."""
        found: list[Lease] = []
        for entry in entries:
            lease = leases.parse(self._keys.name(entry.key) or "", entry.value, version=entry.modified, ttl=self._ttl)
            if isinstance(lease, Lease) and self._keys.lease(lease.subnet) != entry.key:
                lease = Refused(f"not the way flannel writes {lease.subnet}")
            if isinstance(lease, Refused):
                self._report(Refused(lease.what, where=_shown(entry.key), remedy=_BAD_KEY))
            else:
                found.append(lease if entry.lease else Lease(lease.subnet, lease.attributes, lease.version))
        return found

    def _perfect(self, subnet: Subnet, attributes: Attributes) -> tuple[bytes, bytes]:
        """Return key and value, or raise Refused for what could hurt a peer (docs/reference/flannel.md 0, rules 1 to 3 and 6)."""
        value = values.encode(attributes)
        where = _shown(self._keys.lease(subnet))
        parsed = leases.parse(subnet.key, value)
        if not isinstance(parsed, Lease) or parsed.subnet != subnet or not int(attributes.public_ip):
            _defect("the entry would not read back as it is", where)
        if subnet.ipv6 is not None and attributes.public_ipv6 is None:
            raise Refused("an IPv6 subnet without an IPv6 address", where=where, remedy="give --public-ipv6")
        whole = attributes.backend_data and (subnet.ipv6 is None or attributes.backend_v6_data)
        if registry.needs_data(attributes) and not whole:
            _defect(f"a {attributes.backend_type} entry without its backend data", where)
        return self._keys.lease(subnet), value.encode()

    async def _list(self) -> RangeResponse:
        return await self._get(self._keys.subnets, self._keys.subnets_end)

    async def _get(self, key: bytes, end: bytes = b"") -> RangeResponse:
        return await self._client.call("KV/Range", messages.get(key, end), RangeResponse.parse)

    async def _commit(self, transaction: bytes) -> TxnResponse:
        return await self._client.call("KV/Txn", transaction, TxnResponse.parse, again=False)

    async def _grant(self) -> LeaseGrantResponse:
        return await self._client.call("Lease/LeaseGrant", messages.grant(int(self._ttl)), LeaseGrantResponse.parse)

    async def _revoke(self, grant: LeaseGrantResponse) -> None:
        """Give back a lease nothing hangs on; if that fails it ends by itself."""
        try:
            await self._client.call("Lease/LeaseRevoke", messages.revoke(grant.lease), bytes)
        except StoreError:
            return


def _refuse_mixture(subnet: Subnet, taken: Iterable[KeyValue], keys: Keys) -> None:
    """Raise Refused where keys of one family and of both would stand side by side (section 0, rules 4 and 5)."""
    for entry in taken:
        try:
            held = parse_key(keys.name(entry.key) or "")
        except ValueError:
            continue
        if (held.ipv6 is None) != (subnet.ipv6 is None):
            what = f"{subnet} would stand beside a lease of {'one family' if held.ipv6 is None else 'both families'}"
            remedy = "flanneld cannot live with both: stop all daemons, delete all leases, set the config, start them"
            raise Refused(what, where=_shown(entry.key), remedy=remedy)


def _is_another(known: Header, heard: Header) -> bool:
    """Return whether a member speaks for a past we have already left: a restored backup, or another cluster."""
    elsewhere = known.cluster not in (0, heard.cluster)
    return elsewhere or heard.revision < known.revision or heard.term < known.term


def _defect(what: str, where: str) -> NoReturn:
    raise Refused(what, where=where, remedy="this is a defect of tulled; nothing was written")


def _shown(key: bytes) -> str:
    return key.decode(errors="backslashreplace")
