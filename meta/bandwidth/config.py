"""Reads the configuration of `bandwidth` into limits that are already valid (docs/reference/cni.md 4.3).

The reference's refusals are kept word for word. Must not know the kernel, prevResult or what a queue is.
"""

from __future__ import annotations

from dataclasses import dataclass

from cni.errors import CniError, Code

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.json_object import JsonObject
    from cni.request import Request

KEYS = ("ingressRate", "ingressBurst", "egressRate", "egressBurst")
HIGHEST = 2**64 - 1
BYTE = 8
HIGHEST_BURST = (2**32 - 1) * BYTE - 1
"""The kernel keeps a burst in 32 bits, in bytes, and the reference leaves out the last number."""


@dataclass(frozen=True, slots=True)
class Limit:
    """One direction: bits a second, and bits that may pass at once; `key` is where the rate is written.

    `typed` tells that a person wrote it. What a runtime sends is cut to what the kernel counts, for nobody can correct it.
    """

    rate: int
    burst: int
    key: str
    typed: bool = True


@dataclass(frozen=True, slots=True)
class Settings:
    """What an attachment may receive (`ingress`, towards the container) and send (`egress`); None is everything."""

    ingress: Limit | None
    egress: Limit | None


def parse(request: Request) -> Settings:
    """Return the limits of `request`. Raises CniError 7 naming the key, its value and what is expected."""
    root = request.config
    runtime = root.section("runtimeConfig")
    wished = runtime.section("bandwidth") if runtime else None
    _check_form(root, HIGHEST_BURST)
    if wished is not None:
        _check_form(wished, HIGHEST)
    own = wished is None or any(root.contains(key) for key in KEYS)  # one key wins completely, even as null
    chosen = root if own or wished is None else wished
    return Settings(*(_limit(chosen, direction, typed=chosen is root) for direction in ("ingress", "egress")))


def _check_form(section: JsonObject, highest_burst: int) -> None:
    """Refuse what can be no number of bits, be it in limits that do not count."""
    for key in KEYS:
        bits = section.number(key, lowest=0, highest=HIGHEST)
        if 0 < bits < BYTE:
            section.refuse(key, bits, "0 for no limit, or at least 8 bits: the kernel counts bytes")
        if key.endswith("Burst") and bits > highest_burst:
            raise CniError(
                Code.INVALID_CONFIG,
                "burst cannot be more than 4GB",
                f'invalid value of "{section.where(key)}": got {bits}, expected at most {highest_burst} bits',
            )


def _limit(section: JsonObject, direction: str, *, typed: bool) -> Limit | None:
    rate_key, burst_key = f"{direction}Rate", f"{direction}Burst"
    rate, burst = (section.number(key, highest=HIGHEST) for key in (rate_key, burst_key))
    if bool(rate) != bool(burst):
        present, absent = ("rate", "burst") if rate else ("burst", "rate")
        keys = {"rate": section.where(rate_key), "burst": section.where(burst_key)}
        raise CniError(
            Code.INVALID_CONFIG,
            f"if {present} is set, {absent} must also be set",
            f'missing "{keys[absent]}": it goes with "{keys[present]}"',
        )
    return Limit(rate, burst, section.where(rate_key), typed) if rate else None
