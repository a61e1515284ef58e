"""Queueing disciplines, and the filters that redirect, to and from netlink messages (linux/pkt_sched.h).

A value that does not fit is a ValueError; an answer that cannot be read raises any exception, which
kernel.netlink.handle translates.
"""

import struct

from kernel.netlink.message import CREATE, EXCL, HEADER, NLM_F_DUMP, attribute, attributes, message, pack
from kernel.netlink.objects import Qdisc, TokenBucket
from kernel.netlink.requests import AddRedirect, AddTokenBucket, DeleteQdisc

ROOT, INGRESS = 0xFFFFFFFF, 0xFFFFFFF1
"""Where a qdisc hangs: TC_H_ROOT, TC_H_INGRESS."""

ROOT_HANDLE, INGRESS_HANDLE = 0x10000, 0xFFFF0000
"""1: and ffff:, the handles that docs/reference/cni.md 4.3 names."""

RTM_NEWQDISC, RTM_DELQDISC, RTM_GETQDISC = 36, 37, 38
RTM_NEWTFILTER, RTM_GETTFILTER = 44, 46

BODY = struct.Struct("=BxxxiIII")  # struct tcmsg: family, index, handle, parent, info
BUCKET = struct.Struct("=BBHhHI BBHhHI III")  # struct tc_tbf_qopt: rate, peak rate, limit, buffer, mtu
SELECTOR = struct.Struct("=BBB x HHhh I IIii")  # struct tc_u32_sel with one struct tc_u32_key
MIRRED = struct.Struct("=IIiiiiI")  # struct tc_mirred: index, capab, action, refcnt, bindcnt, eaction, ifindex
U64 = struct.Struct("=Q")

TCA_KIND, TCA_OPTIONS = 1, 2
TCA_TBF_PARMS, TCA_TBF_RATE64 = 1, 4
TCA_U32_SEL, TCA_U32_ACT = 5, 7
TCA_ACT_KIND, TCA_ACT_OPTIONS, TCA_MIRRED_PARMS = 1, 2, 2
TC_U32_TERMINAL, TC_ACT_STOLEN, TCA_EGRESS_REDIR = 1, 4, 1

FIRST_ALL_PROTOCOLS = 1 << 16 | 0x0300
"""Priority 1 in the upper half; in the lower ETH_P_ALL in network order."""

HIGHEST = 2**32 - 1
PSCHED = "/proc/net/psched"


def add_bucket(request: AddTokenBucket) -> bytearray:
    """Write a tbf; a rate of 4 GiB a second and more goes into an attribute of its own (docs/reference/cni.md 8.14)."""
    bucket = request.bucket
    rate = (0, 0, 0, 0, 0, min(bucket.rate, HIGHEST))
    parameters = pack(BUCKET, *rate, 0, 0, 0, 0, 0, 0, bucket.limit, _ticks(bucket.buffer), 0)
    options = attribute(TCA_TBF_PARMS, parameters)
    if bucket.rate > HIGHEST:
        options += attribute(TCA_TBF_RATE64, pack(U64, bucket.rate))
    return _add(request.link, "tbf", ROOT_HANDLE, ROOT, options)


def add_redirect(request: AddRedirect) -> list[bytearray]:
    """Write an ingress qdisc, then a filter that matches everything and redirects it."""
    mirred = pack(MIRRED, 0, 0, TC_ACT_STOLEN, 0, 0, TCA_EGRESS_REDIR, request.to)
    action = attribute(TCA_ACT_KIND, b"mirred\0") + attribute(TCA_ACT_OPTIONS, attribute(TCA_MIRRED_PARMS, mirred))
    everything = SELECTOR.pack(TC_U32_TERMINAL, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0)
    options = attribute(TCA_U32_SEL, everything) + attribute(TCA_U32_ACT, attribute(1, action))
    body = pack(BODY, 0, request.link, 0, INGRESS_HANDLE, FIRST_ALL_PROTOCOLS)
    return [
        _add(request.link, "ingress", INGRESS_HANDLE, INGRESS, b""),
        message(RTM_NEWTFILTER, CREATE | EXCL, body, attribute(TCA_KIND, b"u32\0"), attribute(TCA_OPTIONS, options)),
    ]


def delete(request: DeleteQdisc) -> bytearray:
    """Name a qdisc by the place it hangs at."""
    place = INGRESS if request.arriving else ROOT
    return message(RTM_DELQDISC, 0, pack(BODY, 0, request.link, 0, place, 0))


def dump(link: int) -> bytearray:
    """Ask for the qdiscs of one link; the kernel may tell of all."""
    return message(RTM_GETQDISC, NLM_F_DUMP, pack(BODY, 0, link, 0, 0, 0))


def dump_redirects(link: int) -> bytearray:
    """Ask for the filters on what arrives on one link."""
    return message(RTM_GETTFILTER, NLM_F_DUMP, pack(BODY, 0, link, 0, INGRESS_HANDLE, 0))


def read(data: bytes) -> Qdisc:
    """Read RTM_NEWQDISC."""
    _, link, _, parent, _ = BODY.unpack_from(data, HEADER.size)
    told = attributes(data, HEADER.size + BODY.size)
    kind = _text(told.get(TCA_KIND, b""))
    return Qdisc(link, kind, parent, _bucket(attributes(told.get(TCA_OPTIONS, b""))) if kind == "tbf" else None)


def read_redirect(data: bytes) -> int | None:
    """Read RTM_NEWTFILTER; None for a filter whose first action is no redirection."""
    told = attributes(data, HEADER.size + BODY.size)
    if _text(told.get(TCA_KIND, b"")) != "u32":
        return None
    actions = attributes(attributes(told.get(TCA_OPTIONS, b"")).get(TCA_U32_ACT, b""))
    first = attributes(actions.get(1, b""))
    if _text(first.get(TCA_ACT_KIND, b"")) != "mirred":
        return None
    *_, manner, to = MIRRED.unpack_from(attributes(first[TCA_ACT_OPTIONS])[TCA_MIRRED_PARMS])
    return int(to) if manner == TCA_EGRESS_REDIR else None


def _bucket(options: dict[int, bytes]) -> TokenBucket:
    _, _, _, _, _, rate, _, _, _, _, _, _, limit, ticks, _ = BUCKET.unpack_from(options[TCA_TBF_PARMS])
    if TCA_TBF_RATE64 in options:
        (rate,) = U64.unpack(options[TCA_TBF_RATE64])
    return TokenBucket(rate, limit, _microseconds(ticks))


def _ticks(microseconds: int) -> int:
    many, of = _ratio()
    return microseconds * many // of


def _microseconds(ticks: int) -> int:
    """Turn ticks back into what they were made of: a tick is shorter than a microsecond, so rounding up restores it."""
    many, of = _ratio()
    return -(-ticks * of // many)


def _ratio() -> tuple[int, int]:
    """Return how many scheduler ticks so many microseconds have; OSError without /proc (proc_net(5), psched)."""
    with open(PSCHED, encoding="ascii") as file:  # noqa: PTH123 - pathlib costs milliseconds
        per_microsecond, per_tick, resolution, _ = (int(word, 16) for word in file.read().split())
    return per_microsecond * resolution, per_tick * 10**6


def _text(value: bytes) -> str:
    return value.rstrip(b"\0").decode(errors="backslashreplace")


def _add(link: int, kind: str, handle: int, parent: int, options: bytes) -> bytearray:
    named = attribute(TCA_KIND, kind.encode() + b"\0")
    body = pack(BODY, 0, link, handle, parent, 0)
    return message(RTM_NEWQDISC, CREATE | EXCL, body, named, attribute(TCA_OPTIONS, options) if options else b"")
