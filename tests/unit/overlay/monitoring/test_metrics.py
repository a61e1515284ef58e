"""Claims: each figure is a sample under its network's name; what never happened, and what is not counted, has none; the text is what
Prometheus' own parser reads.
"""

from prometheus_client.parser import text_string_to_metric_families

from overlay.monitoring import metrics
from overlay.monitoring.figures import Figures

FULL = Figures(
    *(7, 5, 4, 1, 20, 3, 9, 100),
    store_age=1.5,
    renewal_age=60.0,
    devices={"flannel.1": (10, 20)},
    bytes_of_peers={"10.42.2.0/24": (1, 2)},
    dropped={"stranger": 5},
)


def samples(figures: Figures) -> dict[str, float]:
    text = metrics.render({"10.42.0.0/16": figures}).decode()
    found = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    assert all(sample.labels["network"] == "10.42.0.0/16" for sample in found)
    return {
        "".join([one.name, *(f" {v}" for k, v in one.labels.items() if k != "network")]): one.value for one in found
    }


def test_each_figure_is_a_sample() -> None:
    assert samples(FULL) == {
        "tulle_leases": 7,
        "tulle_peers": 5,
        "tulle_peers_programmed": 4,
        "tulle_peers_refused": 1,
        "tulle_kernel_changes_total": 20,
        "tulle_drift_repaired_total": 3,
        "tulle_passes_total": 9,
        "tulle_netlink_messages_total": 100,
        "tulle_firewall_contested": 0,
        "tulle_store_age_seconds": 1.5,
        "tulle_lease_renewal_age_seconds": 60,
        "tulle_tunnel_guard_dropped_packets_total stranger": 5,
        "tulle_device_receive_bytes_total flannel.1": 10,
        "tulle_device_transmit_bytes_total flannel.1": 20,
        "tulle_peer_receive_bytes_total 10.42.2.0/24": 1,
        "tulle_peer_transmit_bytes_total 10.42.2.0/24": 2,
    }


def test_what_never_happened_has_no_sample() -> None:
    assert not {"tulle_store_age_seconds", "tulle_lease_renewal_age_seconds"} & samples(Figures()).keys()
    assert metrics.render({}).count(b"# TYPE") == 16
