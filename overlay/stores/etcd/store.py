"""The store for several machines: etcd v3, with flannel's keys and values, byte for byte.

Follows docs/reference/flannel.md 0, 2 and 12. Each write is a transaction with a condition: a new lease is created only
while no key has its base address; a renewal is written only while the key is as it was just read and names our
PublicIP, or is gone. No revision from earlier is needed for that, so a restored backup locks nobody out. A key without
an etcd lease is a reservation and stays one.

A cluster that was restored from a backup is recognised by its id, a lower revision or a lower raft term. If it has
passed the old revision already, the change is noticed only with the next listing.
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
"""How often a renewal is tried when another host writes the key between our read and our transaction."""
WATCH_BACKOFF, WATCH_CEILING = 0.1, 5.0
"""Seconds between attempts to continue a watch, doubling (docs/reference/flannel.md 2.7)."""
PATIENCE = 4
"""How many attempts in a row may fail before the watch raises."""
GRACE = 60.0
"""Seconds hosts have to write their leases again after a backup without them was restored, before they count as gone."""

_BAD_KEY = "leave it while any flanneld up to 0.28.9 runs in this network, it would drop its peers when the key goes; then delete it"


class EtcdStore:
    """One network below one prefix; see the protocol overlay.stores.Store for what the methods promise."""

    exchanges = True

    def __init__(self, client: Client, prefix: str, *, report: Callable[[Refused], None], ttl: float = TTL) -> None:
        """Use this client, and close it; `report` is called for every malformed key, each time it is read."""
        self._client, self._keys, self._report, self._ttl = client, Keys.below(prefix), report, ttl
        self._seen = Header(0, 0, 0)
        self._own: Subnet | None = None
        self._due: float | None = None

    @property
    def heard(self) -> float:
        """time.monotonic() of the last response of any member."""
        return self._client.heard

    def close(self) -> None:
        """Close the connection; no lease is revoked (docs/reference/flannel.md 2.3)."""
        self._client.close()

    def moved(self) -> None:
        """Close the connection, so that the next call, and the watch, connect again."""
        self._client.close()

    async def read_config(self) -> str:
        """Return the config's text; raises StoreError while there is none: a person may put it later."""
        listing = await self._get(self._keys.config)
        if not listing.entries:
            key = _shown(self._keys.config)
            example = '{"Network":"10.42.0.0/16","Backend":{"Type":"vxlan"}}'
            raise StoreError(f"etcd has no network config at {key}; put one: etcdctl put {key} '{example}'")
        return listing.entries[0].value.decode(errors="replace")

    async def leases(self) -> Snapshot:
        """Return all leases, with one request; the TTLs of other hosts are not read (docs/reference/flannel.md 12)."""
        listing = await self._list()
        return Snapshot(tuple(self._parsed(listing.entries)), listing.header.revision)

    async def create(self, subnet: Subnet, attributes: Attributes) -> Lease | None:
        """Create `subnet` with a new etcd lease unless another subnet overlaps it (docs/reference/flannel.md 2.3, 2.5).

        Overlap is checked before the write and again after it, because a transaction can only compare equal base
        addresses.
        """
        key, value = self._perfect(subnet, attributes)
        taken = (await self._list()).entries
        _refuse_mixture(subnet, taken, self._keys)
        if any(self._overlaps(entry, subnet) for entry in taken):
            return None
        base = self._keys.base(subnet)
        # the lease first: a key without one would count as a reservation, for ever
        grant = await self._grant()
        outcome = await self._commit(messages.put_if([messages.absent(base, behind(base))], key, value, grant.lease))
        if not outcome.done:
            await self._revoke(grant)
            return None
        written = outcome.header.revision
        if await self._overlapped_earlier(subnet, key, written):
            await self._commit(messages.delete_if([messages.unmodified(key, written)], key))
            await self._revoke(grant)
            return None
        self._own = subnet
        return Lease(subnet, attributes, written, float(grant.seconds))

    async def replace(self, lease: Lease, attributes: Attributes) -> Lease | None:
        """Write the lease again if its key names our PublicIP, or is unchanged since `lease` was read.

        Return None when it names another host, or other hosts write it again and again.
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
        """Delete a lease that has not been written since it was listed; return whether it was deleted."""
        key = self._keys.lease(lease.subnet)
        return (await self._commit(messages.delete_if([messages.unmodified(key, lease.version)], key))).done

    async def watch(self, cursor: int) -> AsyncIterator[Update]:
        """Yield changes as etcd reports them; a broken watch continues after the last change, at another member if needed.

        A Snapshot comes when that revision is compacted. When the cluster was restored from a backup, its leases come
        first as a Delta, and only GRACE seconds later a Snapshot, after which the leases it lacks are gone. Raises
        StoreError when several attempts in a row failed.
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
        """Return the update in a response of the watch, and whether it is a new listing after which the watch starts again."""
        if news.canceled and not news.compacted:
            self._client.forget_token()
            raise StoreError(f"etcd ended the watch: {news.reason or 'no reason given'}")
        if news.canceled or _is_another(known, news.header) or self._is_due():
            return await self._start_over(known), True
        return self._follow(known, news), False

    async def _start_over(self, known: Header) -> Update:
        """List again; from a restored cluster return only the leases it has, and whether our own is missing."""
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
        """Return the last change of each key; the watch continues after these, not after the header's later revision."""
        revision = max([known.revision, *(change.entry.modified for change in news.changes)])
        self._seen = Header(news.header.cluster, revision, max(known.term, news.header.term))
        last = {change.entry.key: change for change in news.changes}
        written = tuple(self._parsed(change.entry for change in last.values() if not change.gone))
        gone = tuple(
            subnet for key, change in last.items() if change.gone and (subnet := self._subnet(key)) is not None
        )
        return Delta(written, gone, revision) if written or gone else None

    async def _rewrite(self, found: KeyValue, wanted: Lease, value: bytes) -> Lease | None:
        """Write the value over the entry found; a reservation stays without a lease, and is not written if it is equal."""
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

    async def _overlapped_earlier(self, subnet: Subnet, key: bytes, written: int) -> bool:
        """Return whether an overlapping key was created before ours: two hosts may take the same IPv6 subnet at once."""
        entries = (await self._list()).entries
        return any(entry.key != key and entry.created < written and self._overlaps(entry, subnet) for entry in entries)

    def _overlaps(self, entry: KeyValue, subnet: Subnet) -> bool:
        held = self._subnet(entry.key)
        return held is not None and held.overlaps(subnet)

    def _is_of(self, entry: KeyValue, lease: Lease, attributes: Attributes) -> bool:
        """Return whether an entry is ours: it has our PublicIP, or it is unchanged since the caller read `lease`."""
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
        """Return the leases of entries; a malformed entry is reported and left out."""
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
        """Return key and value; raises Refused for one that could harm a peer (docs/reference/flannel.md 0 rules 1 to 3, 6)."""
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
        """Revoke a lease that no key is attached to; if that fails, it expires by itself."""
        try:
            await self._client.call("Lease/LeaseRevoke", messages.revoke(grant.lease), bytes)
        except StoreError:
            return


def _refuse_mixture(subnet: Subnet, taken: Iterable[KeyValue], keys: Keys) -> None:
    """Raise Refused when keys of one family and of both would be mixed (docs/reference/flannel.md 0 rules 4 and 5)."""
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
    """Return whether a response is from another cluster, or from an earlier state of it: a restored backup."""
    elsewhere = known.cluster not in (0, heard.cluster)
    return elsewhere or heard.revision < known.revision or heard.term < known.term


def _defect(what: str, where: str) -> NoReturn:
    raise Refused(what, where=where, remedy="this is a defect of tulled; nothing was written")


def _shown(key: bytes) -> str:
    return key.decode(errors="backslashreplace")
