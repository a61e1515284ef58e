"""What loopback decides.

Claims: any address outside 127.0.0.0/8 and ::1 is refused with its text; the result names lo, a MAC of zeros and the first
address of each family on interface 0.
"""

from ipaddress import ip_interface

import pytest

from cni import results
from cni.errors import CniError
from main.loopback import plan

USUAL = [ip_interface("127.0.0.1/8"), ip_interface("::1/128")]


@pytest.mark.parametrize("stranger", ["10.0.0.1/32", "fe80::1/64", "::2/128", "128.0.0.1/8"])
def test_non_loopback_address_is_refused(stranger: str) -> None:
    with pytest.raises(CniError) as refusal:
        plan.refuse_strangers([*USUAL, ip_interface(stranger)])
    assert refusal.value.msg == f'loopback interface found with non-loopback address "{stranger}"'


def test_loopback_addresses_pass() -> None:
    plan.refuse_strangers([*USUAL, ip_interface("127.1.2.3/8")])


def test_result_names_the_first_address_of_each_family() -> None:
    answer = plan.result([ip_interface("::1/128"), *USUAL, ip_interface("127.9.9.9/8")], "/ns")
    assert results.dump(answer, "1.0.0") == {
        "cniVersion": "1.0.0",
        "interfaces": [{"name": "lo", "mac": "00:00:00:00:00:00", "sandbox": "/ns"}],
        "ips": [{"address": "127.0.0.1/8", "interface": 0}, {"address": "::1/128", "interface": 0}],
    }
