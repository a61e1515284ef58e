"""Claims about what `tuning` decides: what was there at first is remembered, not what an earlier ADD made of it; the result
tells the MAC as it is now, and an MTU only where one is told.
"""

from cni.types import Interface, Result
from meta.tuning.config import Properties
from meta.tuning.plan import Memory, answered, kept


def test_what_was_there_at_first_is_remembered() -> None:
    first = Memory("net", Properties("a", 0, promisc=False), {"net/x": "1"})
    before = Memory("", Properties("b", 1400, promisc=True, queue=0), {"net/x": "2", "net/y": "3"})
    expected = Properties("a", 1400, promisc=False, queue=0)
    assert kept("net", before, first) == Memory("net", expected, {"net/x": "1", "net/y": "3"})
    assert kept("net", before, None) == Memory("net", before.properties, before.sysctls)


def test_only_the_interface_of_the_attachment_is_told_anew() -> None:
    earlier = Result(interfaces=(Interface("veth1", "x", 1500), Interface("eth0", "y", 1500), Interface("eth0")))
    told = answered(earlier, "eth0", Properties("z", 1400)).interfaces
    assert told == (Interface("veth1", "x", 1500), Interface("eth0", "z", 1400), Interface("eth0", "z"))
    assert answered(earlier, "eth0", Properties()) == earlier
