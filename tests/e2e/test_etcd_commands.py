"""Claims about `tulle status`, `doctor` and `gc` as they are built, where the store is an etcd and leases have IPv6, on two pretend hosts:

- with a dual-stack lease they see peers in both families, a book whose addresses count once a container, and what is dead of either
- an etcd that is away, speaks or trusts another TLS, or denies the user, is told in its own words, with what to do about just that;
  what this host knows by itself is shown and cleaned up all the same, and no password is said
- a lease file with IPv6 alone, another daemon's, is shown, said not to be in the store, and its dead are removed
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.lab import etcd, waiting
from tests.lab.daemon import DIST
from tests.lab.hosts import CONFLIST, Host, Lab
from tests.lab.member import URL, Member
from tests.lab.underlay import OUTSIDE
from tests.lab.world import tool

if TYPE_CHECKING:
    from subprocess import CompletedProcess

PREFIX = "/coreos.com/network"
DUAL = {"Network": "10.42.0.0/16", "EnableIPv6": True, "IPv6Network": "fd00:42::/48", "Backend": {"Type": "vxlan"}}
SECURE = f"https://{OUTSIDE.ip}:2389"
SIX = "/run/six.env"
LEASE = (
    "FLANNEL_IPV6_NETWORK=fd00:66::/48\nFLANNEL_IPV6_SUBNET=fd00:66:0:7::1/64\nFLANNEL_MTU=1430\nFLANNEL_IPMASQ=true\n"
)


@pytest.fixture(scope="module")
def member() -> Iterator[tuple[Lab, Member]]:
    """Two hosts with a container each on one etcd, and beside that another one, empty, which speaks TLS."""
    with Lab({"host-a": 1, "host-b": 2}, dual=True) as lab:
        one = Member(lab)
        one.start()
        one.ctl("put", f"{PREFIX}/config", json.dumps(DUAL))
        secure(lab)
        lab.start_daemons("--store", "etcd", "--etcd-endpoints", URL, "--network", "")
        configure(lab.workdir / "net.d", json.loads(CONFLIST.read_text()))
        for host in lab.hosts.values():
            host.add(f"on-{host.name}")
        yield lab, one


def secure(lab: Lab) -> None:
    """Start an etcd outside that speaks TLS, with a certificate of a private authority for another name than its address."""
    files, peer = etcd.certificates(lab.workdir / "tls"), "http://127.0.0.1:2390"
    flags = [
        f"--data-dir={lab.workdir / 'secure'}",
        f"--listen-client-urls={SECURE}",
        f"--advertise-client-urls={SECURE}",
    ]
    flags += [
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
    ]
    lab.outside.start(tool("etcd"), *flags, f"--cert-file={files.certificate}", f"--key-file={files.key}")
    answers = ("curl", "--silent", "--insecure", f"{SECURE}/health")
    waiting.until(lambda: lab.outside.attempt(*answers).returncode == 0, "the other etcd answers", within=20)


def configure(folder: Path, document: dict[str, Any]) -> Path:
    folder.mkdir()
    (folder / "10-tulle.conflist").write_text(json.dumps(document))
    return folder


@pytest.fixture
def lab(member: tuple[Lab, Member]) -> Lab:
    return member[0]


@pytest.fixture
def host(lab: Lab) -> Host:
    return lab.hosts["host-a"]


def ask(host: Host, verb: str, *words: str, url: str = URL, conf: str = "net.d") -> "CompletedProcess[str]":
    """Run a command with tulled's settings of an etcd."""
    directories = ("--conf-dir", str(host.workdir / conf), "--bin-dir", str(DIST / "cni")) if verb != "status" else ()
    settings = ("--store", "etcd", "--etcd-endpoints", url, "--iface", "eth0", *words)
    return host.place.attempt(DIST / "bin" / "tulle", verb, "--json", *directories, "--", *settings)


def store(host: Host, *words: str, url: str = URL) -> tuple[str, str]:
    """Return what doctor saw of the store and what it advises; nothing else may have failed."""
    done = ask(host, "doctor", *words, url=url)
    (verdicts,) = json.loads(done.stdout).values()
    failed = {one["check"]: one["findings"] for one in verdicts if one["ok"] is False}
    assert (done.returncode, done.stderr, list(failed)) == (1, "", ["store"])
    (finding,) = failed["store"]
    return finding["saw"], finding["remedy"]


def cut(host: Host, name: str, **runtime: Any) -> None:
    """Make a container and take its link away."""
    container = host.add(name, **runtime)
    link = next(one["name"] for one in container.result["interfaces"] if one["name"].startswith("veth"))
    host.place.ip(f"link delete {link}")


def removed(done: "CompletedProcess[str]") -> set[str]:
    """Return the addresses that gc removed; what else it found must be gone, too."""
    (outcomes,) = json.loads(done.stdout).values()
    assert {one["outcome"] for one in outcomes} == {"removed"}
    return {one["what"].removeprefix("address ") for one in outcomes if one["what"].startswith("address ")}


def test_a_dual_stack_lease_in_etcd_is_seen_in_both_families(lab: Lab, host: Host) -> None:
    other = lab.hosts["host-b"].standing.address6
    assert other is not None
    ping = ("ping", "-c1", "-W1", str(other.ip))
    waiting.until(lambda: host.place.attempt(*ping).returncode == 0, "the underlay carries IPv6")
    done = ask(host, "status")
    (told,) = json.loads(done.stdout)
    (peer,) = told["peers"]
    assert (done.returncode, told["problems"], len(told["subnets"]), told["book"]["held"]) == (0, [], 2, 1)
    assert None not in (peer["seconds"], peer["seconds6"])
    assert ask(host, "doctor").returncode == 0


def test_what_is_dead_goes_in_both_families_and_without_the_store_too(host: Host) -> None:
    for name, url in (("lost", URL), ("stranded", URL.replace("2379", "2399"))):
        cut(host, name)
        addresses = host.containers[name].addresses
        assert removed(ask(host, "gc", url=url)) == set(addresses)


@pytest.mark.parametrize(
    ("url", "words", "saw", "do"),
    [
        (URL.replace("2379", "2399"), (), "connection refused", "start the store"),
        (SECURE, (), "certificate verify failed", "TULLED_ETCD_CAFILE"),
        (SECURE, ("--etcd-cafile", "TLS/ca.pem"), f"not valid for '{OUTSIDE.ip}'", "as its certificate does"),
        (SECURE, ("--etcd-cafile", "/no/ca.pem"), "/no/ca.pem: no usable CA file", "correct TULLED_ETCD_CAFILE"),
        (SECURE.replace("https", "http"), (), "onnection lost", "https where etcd speaks TLS"),
    ],
    ids=["away", "unknown authority", "another name", "no CA file", "http to https"],
)
def test_an_etcd_that_cannot_be_reached_is_told_with_what_to_do(
    host: Host, url: str, words: tuple[str, ...], saw: str, do: str
) -> None:
    found = store(host, *(word.replace("TLS", str(host.workdir / "tls")) for word in words), url=url)
    assert saw in found[0]
    assert do in found[1]


def test_a_lease_of_ipv6_alone_is_shown_and_its_dead_are_removed(host: Host) -> None:
    host.place.run("sh", "-c", f"cat >{SIX}", stdin=LEASE)
    document = json.loads(CONFLIST.read_text())
    document["name"] = "six"
    document["plugins"][0] |= {"bridge": "six0", "subnetFile": SIX}
    configure(host.workdir / "six.d", document)
    cut(host, "six", runtime=host.conflist(document))
    done = ask(host, "status", "--subnet-file", SIX)
    (told,) = json.loads(done.stdout)
    assert (done.returncode, told["subnets"], told["book"]["held"]) == (1, ["fd00:66:0:7::/64"], 1)
    done = ask(host, "doctor", "--subnet-file", SIX, conf="six.d")
    (verdicts,) = json.loads(done.stdout).values()
    seen = {one["check"]: one["findings"][0]["saw"] for one in verdicts if one["ok"] is False}
    assert (done.stderr, "fd00:66:0:7::/64, which is no lease in" in seen["lease-file"]) == ("", True)
    assert removed(ask(host, "gc", "--subnet-file", SIX, conf="six.d")) == {"fd00:66:0:7::2"}


@pytest.fixture(scope="module")
def guarded(member: tuple[Lab, Member]) -> Iterator[None]:
    """Have the etcd ask for a user; `nobody` is one without a role."""
    _, one = member
    for words in ("user add root:r00t", "user grant-role root root", "user add nobody:n0body", "auth enable"):
        one.ctl(*words.split())
    yield
    one.ctl("--user=root:r00t", "auth", "disable")


@pytest.mark.parametrize(
    ("user", "saw", "do"),
    [
        ((), "user name is empty", "this etcd wants a user"),
        (("nobody", "n0body"), "permission denied", "etcdctl role grant-permission --prefix"),
        (("nobody", "wr0ng"), "authentication failed", "correct TULLED_ETCD_USERNAME"),
    ],
    ids=["no user", "a user without a role", "a wrong password"],
)
@pytest.mark.usefixtures("guarded")
def test_an_etcd_that_denies_the_user_is_told_with_what_to_do(
    host: Host, user: tuple[str, ...], saw: str, do: str
) -> None:
    words = tuple(word for pair in zip(("--etcd-username", "--etcd-password"), user, strict=False) for word in pair)
    found = store(host, *words)
    assert saw in found[0]
    assert do in found[1]
    assert "0" not in "".join(found).replace(URL, "")


@pytest.mark.usefixtures("guarded")
def test_without_permission_what_this_host_knows_itself_is_shown(host: Host) -> None:
    done = ask(host, "status", "--etcd-username", "nobody", "--etcd-password", "n0body")
    (told,) = json.loads(done.stdout)
    assert (done.returncode, len(told["subnets"]), told["peers"], told["book"]["held"]) == (1, 2, [], 1)
    assert "permission denied" in done.stderr
    assert ask(host, "status", "--etcd-username", "root", "--etcd-password", "r00t").returncode == 0
