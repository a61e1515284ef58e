"""The addresses of `static`.

The configuration's and those of CNI_ARGS, or instead the runtime's (docs/reference/cni.md 4.6).

They are checked only after it is decided which of them count. Whether another program uses an address is not checked.
DEL and GC have nothing to do.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from cni import addresses, args, results, versions
from cni.errors import CniError, Code
from cni.types import Address, Result

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import NoReturn

    from cni.json_object import JsonObject
    from cni.request import Request
    from system.ip import IPAddress, IPInterface

IN_ARGS = "the 'ip' field"
IN_CONFIG = "the 'address' field"
IN_IPS = "an entry in the 'ips' field"
"""How the reference's errors name the three sources of an address; its tests compare the text."""

SINGLE_ADDRESS_UNTIL = (0, 3, 0)
"""Before this version a result can hold only one address per family."""


@dataclass(frozen=True, slots=True)
class Wish:
    """An address as it was written."""

    text: str
    place: str  # where it was written
    gateway: IPAddress | None = None

    def reaches(self, gateway: IPAddress) -> bool:
        """Return whether `gateway` is in the network of the address; False if the address is malformed."""
        try:
            return gateway in addresses.parse_interface(self.text).network
        except ValueError:
            return False

    def address(self) -> IPInterface:
        """Return the address. Raises CniError 7, or 4 for CNI_ARGS, with the reference's text."""
        try:
            return addresses.parse_interface(self.text)
        except ValueError as wrong:
            _refuse(self.text, self.place, wrong)


def add(request: Request) -> Result:
    """Return addresses, routes and resolver settings. Raises CniError 7 for the configuration, 4 for CNI_ARGS."""
    ipam = _ipam(request)
    return Result(ips=addressed(request), routes=results.parse_routes(ipam), dns=results.parse_dns(ipam.section("dns")))


def check(request: Request) -> None:
    """Raise CniError 102 if prevResult has one of the addresses with another gateway; 7 without prevResult.

    An address that prevResult lacks is no failure: another program may have replaced it, which the reference allows.
    """
    own = addressed(request)
    earlier = request.prev_result
    if earlier is None:
        raise CniError(
            Code.INVALID_CONFIG,
            "Required prevResult missing",
            "CHECK compares with the result of ADD: pass it as prevResult",
        )
    for wanted in own:
        same = [entry for entry in earlier.ips if entry.address.ip == wanted.address.ip]
        if wanted.gateway is not None and same and all(entry.gateway != wanted.gateway for entry in same):
            raise CniError(
                Code.CHECK_FAILED,
                f"static: Failed to match addr {wanted.address.ip} on interface {request.ifname}",
                f"its gateway is configured as {wanted.gateway}: delete the attachment and add it again",
            )


def status(request: Request) -> None:
    """Raise CniError 7 for a configuration that ADD would refuse."""
    addressed(request)


VERBS = {"ADD": add, "CHECK": check, "STATUS": status}


def addressed(request: Request) -> tuple[Address, ...]:
    """Return the addresses that count, checked.

    Args.cni.ips replaces the configured ones, runtimeConfig.ips replaces both.

    Raises CniError as `add` does, also for two addresses of a family before version 0.3.0.
    """
    wishes = _with_args(_configured(_ipam(request)), request.args)
    metadata = request.config.section("args")
    for section in (metadata.section("cni") if metadata else None, request.config.section("runtimeConfig")):
        wishes = _replacing(section) or wishes
    found = tuple(Address(wish.address(), gateway=wish.gateway) for wish in wishes)
    _check_families(found, request.version)
    return found


def _ipam(request: Request) -> JsonObject:
    ipam = request.config.section("ipam")
    if ipam is None:
        raise CniError(Code.INVALID_CONFIG, "IPAM config missing 'ipam' key", 'add an object "ipam" with its addresses')
    return ipam


def _configured(ipam: JsonObject) -> tuple[Wish, ...]:
    return tuple(
        Wish(entry.text("address"), IN_CONFIG, entry.address("gateway")) for entry in ipam.sections("addresses") or ()
    )


def _with_args(configured: tuple[Wish, ...], text: str) -> tuple[Wish, ...]:
    """Return `configured` and the addresses of IP. Each GATEWAY goes to every address whose network contains it."""
    given = args.parse(text, ("IP", "GATEWAY"))
    wishes = (*configured, *(Wish(each, IN_ARGS) for each in _listed(given.get("IP", ""))))
    for each in _listed(given.get("GATEWAY", "")):
        gateway = _gateway(each)
        wishes = tuple(replace(wish, gateway=gateway) if wish.reaches(gateway) else wish for wish in wishes)
    for wish in wishes[len(configured) :]:
        wish.address()
    return wishes


def _replacing(section: JsonObject | None) -> tuple[Wish, ...]:
    """Return the addresses in `ips`, checked. An empty list replaces nothing."""
    wishes = tuple(Wish(text, IN_IPS) for text in (section.texts("ips") if section else ()))
    for wish in wishes:
        wish.address()
    return wishes


def _listed(text: str) -> Iterable[str]:
    return (piece.strip() for piece in text.split(",")) if text else ()


def _gateway(text: str) -> IPAddress:
    try:
        return addresses.parse_address(text)
    except ValueError as wrong:
        raise CniError(
            Code.INVALID_ENVIRONMENT, f"invalid gateway address: {text}", "GATEWAY in CNI_ARGS is like 10.1.0.1"
        ) from wrong


def _check_families(found: tuple[Address, ...], version: str) -> None:
    families = [each.address.version for each in found]
    if versions.parse(version) < SINGLE_ADDRESS_UNTIL and len(set(families)) < len(families):
        raise CniError(
            Code.INVALID_CONFIG,
            f"CNI version {version} does not support more than 1 address per family",
            "use cniVersion 0.3.0 or later, or one address a family",
        )


def _refuse(text: str, place: str, wrong: ValueError) -> NoReturn:
    expected = "expected to be" if place != IN_IPS else "NOT"
    raise CniError(
        Code.INVALID_ENVIRONMENT if place == IN_ARGS else Code.INVALID_CONFIG,
        f"{place} is {expected} in CIDR notation, got: '{text}'",
        "write address/length, like 10.1.0.5/24",
    ) from wrong
