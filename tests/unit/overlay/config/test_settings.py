"""Claims: every option is Go's flag in both spellings, its variables are TULLED_ over FLANNELD_, the flag wins over both; a bad value
from anywhere is refused with its source and remedy; contradictions are refused; help names every option.
"""

import io
from typing import Any

import pytest

from overlay.config import settings
from overlay.config.settings import OPTIONS, Settings
from overlay.errors import Refused


def parse(*argv: str, **environ: str) -> Settings:
    return settings.parse(argv, environ, io.StringIO())


def test_defaults_are_flannels_but_for_the_health_server_that_only_this_host_reaches() -> None:
    chosen = parse()
    assert (chosen.subnet_file, chosen.subnet_lease_renew_margin, chosen.iptables_resync) == (
        "/run/flannel/subnet.env",
        60,
        5,
    )
    assert (chosen.ip_masq, chosen.iptables_forward_rules, chosen.healthz_ip, chosen.healthz_port) == (
        False,
        True,
        "127.0.0.1",
        0,
    )
    assert (chosen.store_kind, chosen.store_path) == ("sqlite", "/var/lib/tulle/network.db")


@pytest.mark.parametrize(
    ("words", "field", "value"),
    [
        (["-ip-masq"], "ip_masq", True),
        (["--ip-masq"], "ip_masq", True),
        (["-ip-masq=true"], "ip_masq", True),
        (["--ip-masq=false"], "ip_masq", False),
        (["--iptables-forward-rules=0"], "iptables_forward_rules", False),
        (["-iface", "eth0", "--iface=192.0.2.1"], "iface", ("eth0", "192.0.2.1")),
        (["--iface-regex", "^10[.]"], "iface_regex", ("^10[.]",)),
        (["--public-ip", "192.0.2.1"], "public_ip", "192.0.2.1"),
        (["--network", "10.42.0.0/16", "-vni", "7"], "vni", 7),
        (["-v=4"], "v", 4),
        (["--bridge", "tulle0"], "bridge", "tulle0"),
        (["--log-format", "json"], "log_format", "json"),
    ],
)
def test_a_flag_is_read_as_go_reads_it(words: list[str], field: str, value: Any) -> None:
    assert getattr(parse(*words), field) == value


def test_the_flag_wins_over_our_variable_and_that_over_flannels() -> None:
    both = {"TULLED_SUBNET_FILE": "/ours", "FLANNELD_SUBNET_FILE": "/theirs"}
    assert parse("--subnet-file", "/flag", **both).subnet_file == "/flag"
    assert parse(**both).subnet_file == "/ours"
    assert parse(FLANNELD_SUBNET_FILE="/theirs", TULLED_SUBNET_FILE="").subnet_file == "/theirs"


def test_a_variable_gives_a_repeated_flag_one_element() -> None:
    assert parse(FLANNELD_IFACE="eth0,eth1").iface == ("eth0,eth1",)


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--store", "etcd:x"], "--store: 'etcd:x' cannot be used; write etcd, sqlite:PATH or file:PATH"),
        (["--store", "sqlite:"], "write etcd, sqlite:PATH"),
        (["--healthz-port", "65536"], "write a whole number from 0 to 65535"),
        (["--healthz-port", "-1"], "--healthz-port"),
        (["--healthz-port", "٣"], "write a whole number"),
        (["--subnet-lease-renew-margin", "0"], "1 to 1439"),
        (["--subnet-lease-renew-margin", "1440"], "1 to 1439"),
        (["--public-ip", "2001:db8::1"], "write an address like 192.0.2.1"),
        (["--public-ipv6", "192.0.2.1"], "write an address like 2001:db8::1"),
        (["--iface-can-reach", "x"], "write an address"),
        (["--iface-regex", "("], "not a regular expression"),
        (["--ip-masq=maybe"], "write true or false"),
        (["--bridge", "a/b"], "a link's name"),
        (["--bridge", "sixteen-letters-"], "a link's name"),
        (["--log-format", "xml"], "one of: text, json"),
        (["--nonsense"], "there is no --nonsense; see tulled --help"),
        (["--iface"], "expected one argument"),
        (["stray"], "a word that belongs to no flag"),
        (["--vni", "7"], "--vni without --network"),
        (["--network", "10.0.0.0/8", "--net-config", "x"], "both describe the network"),
        (["--etcd-endpoints", "ftp://x"], "write URLs like http://192.0.2.1:2379"),
        (["--etcd-endpoints", "http://a:0"], "write URLs like"),
        (["--etcd-endpoints", "http://me:pst@a"], "'***@a' cannot be used"),
        (["--etcd-endpoints", "https://me:p/st@pst@a/x"], "'***@a/x' cannot be used"),
        (["--etcd-endpoints", "me:pst@a"], "'***@a' cannot be used"),
        (["--store", "etcd://me:pst@a"], "'***@a' cannot be used"),
        (["--etcd-prefix", "/.."], "write a path like /coreos.com/network"),
        (["--etcd-prefix", "/a\nb"], "write a path like"),
        (["--etcd-prefix", "/=/run/a.env"], "write a path like"),
        (["--etcd-prefix", "/a=/run/"], "write a path like"),
        (["--etcd-prefix", "/a", "--etcd-prefix", "/b=/run/b"], "--etcd-prefix /a names no lease file; write PREFIX="),
        (["--etcd-prefix", "/a=/x", "--etcd-prefix", "/b=//x"], "/a and /b have the same lease file //x"),
        (["--etcd-prefix", "/a=/x", "--etcd-prefix", "//a/=/y"], "/a and //a/ are one network"),
        (["--etcd-prefix", "/a=/x", "--subnet-file", "/y"], "--subnet-file beside --etcd-prefix PREFIX=LEASEFILE"),
        (["--etcd-prefix", "/a=/x", "--etcd-prefix", "/b=/y", "--bridge", "c"], "--bridge has one name, but there are"),
        (["--store", "sqlite:/x", "--etcd-prefix", "/a"], "--etcd-prefix has no use with --store sqlite:/x"),
        (["--etcd-certfile", "x"], "--etcd-certfile and --etcd-keyfile are one pair"),
        (["--etcd-keyfile", "x", "--etcd-cafile", "y"], "--etcd-certfile and --etcd-keyfile are one pair"),
        (["--etcd-password", "pst"], "--etcd-password without --etcd-username"),
        (["--store", "etcd", "--network", "10.0.0.0/8"], "put it at PREFIX/config in etcd"),
        (["--store", "file:/x", "--network", "10.0.0.0/8"], "--network has no use with --store file:/x"),
    ],
)
def test_a_bad_flag_is_refused_with_its_remedy(words: list[str], problem: str) -> None:
    with pytest.raises(Refused) as refused:
        parse(*words)
    assert problem in str(refused.value)


@pytest.mark.parametrize("name", ["TULLED_HEALTHZ_PORT", "FLANNELD_HEALTHZ_PORT"])
def test_a_bad_variable_is_refused_by_its_name(name: str) -> None:
    with pytest.raises(Refused, match=f"{name}: 'x' cannot be used"):
        parse(**{name: "x"})


def test_help_names_every_option() -> None:
    out = io.StringIO()
    with pytest.raises(SystemExit) as ended:
        settings.parse(["--help"], {}, out)
    assert ended.value.code == 0
    assert [option.flag for option in OPTIONS if f"--{option.flag}" not in out.getvalue()] == []


def test_the_fields_are_the_options() -> None:
    assert {option.field for option in OPTIONS} | {"ignored"} == set(Settings.__dataclass_fields__)


FLANNELS = """etcd-endpoints etcd-prefix etcd-keyfile etcd-certfile etcd-cafile etcd-username etcd-password iface iface-regex
    iface-can-reach public-ip public-ipv6 subnet-file subnet-lease-renew-margin ip-masq ip-masq-fully-random-disable
    iptables-resync iptables-forward-rules ip-blackhole-route healthz-ip healthz-port kube-subnet-mgr kube-api-url
    kubeconfig-file kube-annotation-prefix net-config-path set-node-network-unavailable v vmodule log_backtrace_at"""


def test_every_flag_of_flannels_is_accepted() -> None:
    known = {option.flag for option in OPTIONS} | settings.UNUSED.keys()
    assert set(FLANNELS.split()) - known == set()


def test_what_means_nothing_here_is_named() -> None:
    chosen = parse("-kube-subnet-mgr=false", "--vmodule", "x=2", FLANNELD_KUBE_API_URL="http://k", FLANNELD_VMODULE="y")
    assert chosen.ignored == ("--kube-subnet-mgr", "--kube-api-url", "--vmodule")
    assert parse("--set-node-network-unavailable").ignored == ("--set-node-network-unavailable",)


@pytest.mark.parametrize("words", [["--kube-subnet-mgr"], ["-kube-subnet-mgr=true"], ["--kube-subnet-mgr=maybe"]])
def test_kubernetes_subnet_manager_is_refused(words: list[str]) -> None:
    with pytest.raises(Refused, match="--kube-subnet-mgr: Kubernetes' subnet manager is not part of tulled; leave"):
        parse(*words)
    with pytest.raises(Refused, match="not part of tulled"):
        parse(FLANNELD_KUBE_SUBNET_MGR="true")


def test_the_key_file_also_has_the_name_flannel_gives_it() -> None:
    environ = {"WIREGUARD_KEY_FILE": "/a"}
    assert settings.parse([], environ, io.StringIO()).wireguard_key_file == "/a"
    assert settings.parse([], {**environ, "TULLED_WIREGUARD_KEY_FILE": "/b"}, io.StringIO()).wireguard_key_file == "/b"


def test_an_exclusion_needs_masquerading() -> None:
    assert parse("--ip-masq", "--ip-masq-exclude", "192.168.0.0/16").ip_masq_exclude == ("192.168.0.0/16",)
    with pytest.raises(Refused, match="--ip-masq-exclude without --ip-masq"):
        parse("--ip-masq-exclude", "192.168.0.0/16")


def test_a_network_that_may_send_to_the_tunnel_is_checked() -> None:
    assert parse("--tunnel-allow", "192.0.2.7", "--tunnel-allow", "2001:db8::/64").tunnel_allow == (
        "192.0.2.7/32",
        "2001:db8::/64",
    )
    with pytest.raises(Refused, match="write a network like"):
        parse("--tunnel-allow", "192.0.2.7/24")


@pytest.mark.parametrize(
    "words",
    [
        ["--store", "etcd"],
        ["-etcd-endpoints=http://127.0.0.1:2379"],
        ["--etcd-prefix", "/a"],
        ["--etcd-username", "me", "--etcd-password", "pst"],
        ["--etcd-cafile", "/ca.pem"],
    ],
)
def test_any_etcd_flag_chooses_etcd(words: list[str]) -> None:
    assert (parse(*words).store, parse(*words).store_kind) == ("etcd", "etcd")


def test_flannels_variables_choose_etcd() -> None:
    chosen = parse(
        FLANNELD_ETCD_ENDPOINTS="https://a,http://[fd00::1]:1", TULLED_ETCD_PASSWORD="pst", FLANNELD_ETCD_USERNAME="me"
    )
    assert ([str(one) for one in chosen.etcd_endpoints], chosen.store) == (
        ["https://a:2379", "http://[fd00::1]:1"],
        "etcd",
    )


def test_a_password_is_in_no_text_of_the_settings() -> None:
    assert "pst" not in repr(parse("--etcd-username", "me", "--etcd-password", "pst"))


SEVERAL = [("/red", "/run/red.env"), ("/blue", "/run/blue.env")]


@pytest.mark.parametrize("name", ["TULLED_ETCD_PREFIX", "FLANNELD_ETCD_PREFIX"])
def test_several_networks_come_from_repeated_flags_or_one_variable(name: str) -> None:
    flags = parse("--etcd-prefix", "/red=/run/red.env", "--etcd-prefix=/blue=/run/blue.env")
    variable = parse(**{name: "/red=/run/red.env,/blue=/run/blue.env"})
    assert flags == variable
    assert [(one.name, one.subnet_file) for one in flags.each] == SEVERAL


def test_a_single_network_is_what_it_was() -> None:
    chosen = parse("--etcd-prefix", "/a,b=c", "--subnet-file", "/x")
    assert [(one.prefix, one.subnet_file) for one in chosen.each] == [("/a,b=c", "/x")]
    assert (parse().each, parse("--store", "etcd").prefix) == ((parse(),), "/coreos.com/network")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--etcd-pass", "hunter2"], "there is no --etcd-pass; did you mean --etcd-password?"),
        (
            ["--etcd-passwordhunter2"],
            "there is no flag that begins with --etcd-password and goes on; write --etcd-password=WORD",
        ),
        (
            ["-etcd-password-hunter2"],
            "there is no flag that begins with --etcd-password and goes on; write --etcd-password=WORD",
        ),
        (["-etcd-pasword=hunter2"], "there is no --etcd-pasword; did you mean --etcd-password?"),
        (["--etcd-pass=hunter2"], "there is no --etcd-pass; did you mean --etcd-password?"),
        (["-stroe", "sqlite:hunter2"], "there is no --stroe; did you mean --store?"),
        (["--frobnicate", "hunter2"], "there is no --frobnicate; see tulled --help"),
        (["hunter2"], "a word that belongs to no flag; see tulled --help"),
    ],
)
def test_an_unknown_flag_is_named_without_its_value(words: list[str], said: str) -> None:
    with pytest.raises(Refused) as refused:
        settings.parse(words, {}, io.StringIO())
    assert str(refused.value) == said


def test_variables_that_nothing_reads_are_told_with_the_nearest_and_without_their_value() -> None:
    environ = {
        "TULLED_ETCD_PASWORD": "hunter2",
        "tulled_ip_masq": "true",
        "TULLED_COLOUR": "red",
        "TULLED_IFACE": "eth0",
        "TULLED_KUBE_SUBNET_MGR": "false",
        "FLANNELD_WHATEVER": "x",
        "PATH": "/bin",
    }
    assert settings.strangers(environ) == {
        "TULLED_COLOUR": "see tulled --help",
        "TULLED_ETCD_PASWORD": "did you mean TULLED_ETCD_PASSWORD?",
        "tulled_ip_masq": "did you mean TULLED_IP_MASQ?",
    }
