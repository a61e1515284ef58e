"""Claims about finding attachments: a host end is told by its alias; whose record names no namespace, or one that is gone, is dead."""

from pathlib import Path

from cli.repair import attachments, cni_cache
from cni.attachment_id import AttachmentID
from kernel.netlink.handle import Link
from tests.unit.cli.repair import samples


def link(alias: str, kind: str = "veth") -> Link:
    return Link(index=7, name="veth7", kind=kind, alias=alias)


def test_only_a_veth_with_three_names_is_a_host_end() -> None:
    links = [link("net/c1/eth0"), link("net/c2/eth0", "dummy"), link("a/b"), link("a//b"), link("a/b/c/d"), link("")]
    assert dict(attachments.named(links)) == {AttachmentID("net", "c1", "eth0"): "veth7"}


def test_a_namespace_that_is_gone_or_unnamed_is_death(tmp_path: Path) -> None:
    gone = cni_cache.decode(samples.record(netns=str(tmp_path / "none")))
    assert attachments.death(gone) == f"its network namespace {tmp_path}/none is gone"
    unnamed = cni_cache.decode(samples.record(result={"cniVersion": "1.0.0"}))
    assert attachments.death(unnamed) == "its record names no network namespace"


def test_another_namespace_of_that_path_is_death() -> None:
    foreign = cni_cache.decode(samples.record(netns="/proc/self/ns/net", ifName="no-such-link", result={}))
    assert attachments.death(foreign) == "/proc/self/ns/net has no interface no-such-link"
    reused = cni_cache.decode(samples.record(netns="/proc/self/ns/net", ifName="lo"))
    assert attachments.death(reused) == "lo in /proc/self/ns/net has none of its addresses"
