"""Reads the configuration of `bandwidth` into limits that are already valid (docs/reference/cni.md 4.3).

The texts of the reference's errors are kept word for word.
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
"""The kernel keeps a burst in bytes, in 32 bits, and the reference excludes the last number."""


@dataclass(frozen=True, slots=True)
class Limit:
    """The limit of one direction."""

    rate: int  # bits per second
    burst: int  # bits that may pass at once
    key: str  # where in the configuration the rate is written
    # a person wrote it; a runtime's burst is cut to what the kernel can count, since nobody can correct it
    typed: bool = True


@dataclass(frozen=True, slots=True)
class Settings:
    """The limits of one attachment. None: no limit."""

    ingress: Limit | None  # of what the container receives
    egress: Limit | None  # of what the container sends


def parse(request: Request) -> Settings:
    """Return the limits of `request`. Raises CniError 7 that names the key, its value and what is expected."""
    root = request.config
    runtime = root.section("runtimeConfig")
    wished = runtime.section("bandwidth") if runtime else None
    _check_form(root, HIGHEST_BURST)
    if wished is not None:
        _check_form(wished, HIGHEST)
    own = wished is None or any(
        root.contains(key) for key in KEYS
    )  # one key of ours replaces all of the runtime's, even if null
    chosen = root if own or wished is None else wished
    return Settings(*(_limit(chosen, direction, typed=chosen is root) for direction in ("ingress", "egress")))


def _check_form(section: JsonObject, highest_burst: int) -> None:
    """Raise CniError 7 for a value that is no number of bits, also in limits that are not used."""
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
