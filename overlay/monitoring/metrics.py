"""The text that Prometheus reads at /metrics.

It is imported when /metrics is first asked for, because most daemons never need prometheus_client, whose import is
slow.
"""

from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from overlay.monitoring.figures import Figures

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

GAUGES = {
    "leases": ("tulle_leases", "Leases in the store, this host's own among them."),
    "peers": ("tulle_peers", "Other hosts whose lease can be used."),
    "programmed": ("tulle_peers_programmed", "Those of them that the kernel holds since the last comparison."),
    "refused": ("tulle_peers_refused", "Leases of other hosts that cannot be used."),
    "contested": ("tulle_firewall_contested", "1 while somebody else changes our firewall rules again and again."),
    "store_age": ("tulle_store_age_seconds", "Seconds since the store was last heard."),
    "renewal_age": ("tulle_lease_renewal_age_seconds", "Seconds since this host's lease was last written."),
}
COUNTERS = {
    "changes": ("tulle_kernel_changes", "Changes made to kernel and firewall."),
    "drift": ("tulle_drift_repaired", "Those of them that put back what somebody else had changed."),
    "passes": ("tulle_passes", "Comparisons of what is wanted with what is."),
    "messages": ("tulle_netlink_messages", "Messages sent to the kernel."),
}
TRAFFIC = {
    "devices": ("device", "tulle_device", "a device of the network"),
    "bytes_of_peers": ("peer", "tulle_peer", "another host, by its subnet, where the backend counts"),
}


def render(figures: Mapping[str, Figures]) -> bytes:
    """Write the figures of all networks, each under its name (a CIDR)."""
    registry = CollectorRegistry()
    registry.register(_Source(figures))
    return generate_latest(registry)


class _Source(Collector):
    def __init__(self, figures: Mapping[str, Figures]) -> None:
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        for attribute, (name, about) in GAUGES.items():
            gauge = GaugeMetricFamily(name, about, labels=["network"])
            yield self._filled(gauge, attribute)
        for attribute, (name, about) in COUNTERS.items():
            yield self._filled(CounterMetricFamily(name, about, labels=["network"]), attribute)
        dropped = CounterMetricFamily(
            "tulle_tunnel_guard_dropped_packets",
            "Packets the tunnel's guard dropped, by reason.",
            labels=["network", "reason"],
        )
        for network, figures in self._figures.items():
            for reason, packets in figures.dropped.items():
                dropped.add_metric([network, reason], packets)
        yield dropped
        for attribute, (label, name, about) in TRAFFIC.items():
            for place, way in enumerate(("receive", "transmit")):
                family = CounterMetricFamily(
                    f"{name}_{way}_bytes", f"Bytes: {way}, {about}.", labels=["network", label]
                )
                yield self._measured(family, attribute, place)

    def _filled(self, family: GaugeMetricFamily | CounterMetricFamily, attribute: str) -> Metric:
        for network, figures in self._figures.items():
            value = getattr(figures, attribute)
            if value is not None:
                family.add_metric([network], value)
        return family

    def _measured(self, family: CounterMetricFamily, attribute: str, place: int) -> Metric:
        for network, figures in self._figures.items():
            for name, both in getattr(figures, attribute).items():
                family.add_metric([network, name], both[place])
        return family
