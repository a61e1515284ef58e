"""Claims: the environment is checked by docs/reference/cni.md 1.2's table in its order; a request holds what came in, decoded once.

Every cell of the table is tested: each variable missing, and invalid where it has a rule, under each verb.
"""

import json
from collections.abc import Callable
from typing import Any

import pytest

from cni.errors import CniError
from cni.request import VARIABLES, Request, allows_own_netns, check_environment, compose
from cni.types import Result

COMPLETE = {
    "CNI_CONTAINERID": "c0ffee",
    "CNI_NETNS": "/var/run/netns/a",
    "CNI_IFNAME": "eth0",
    "CNI_ARGS": "IgnoreUnknown=1",
    "CNI_PATH": "/opt/cni/bin:/usr/lib/cni",
    "CNI_NETNS_OVERRIDE": "1",
}

REQUIRED = {
    "ADD": ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH"],
    "CHECK": ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH"],
    "DEL": ["CNI_CONTAINERID", "CNI_IFNAME", "CNI_PATH"],
    "GC": ["CNI_PATH"],
    "STATUS": ["CNI_PATH"],
    "VERSION": [],
    "FROB": [],
}


def refused(environ: dict[str, str]) -> CniError:
    with pytest.raises(CniError) as caught:
        check_environment(environ)
    assert caught.value.code == 4
    return caught.value


@pytest.mark.parametrize("verb", REQUIRED)
def test_a_complete_environment_passes(verb: str) -> None:
    check_environment({**COMPLETE, "CNI_COMMAND": verb})


@pytest.mark.parametrize("verb", REQUIRED)
def test_all_missing_variables_are_named_in_the_tables_order(verb: str) -> None:
    if not REQUIRED[verb]:
        check_environment({"CNI_COMMAND": verb})
        return
    assert refused({"CNI_COMMAND": verb}).msg == f"required env variables [{','.join(REQUIRED[verb])}] missing"


@pytest.mark.parametrize("empty", [{}, {"CNI_COMMAND": ""}])
def test_without_a_command_only_the_command_is_missing(empty: dict[str, str]) -> None:
    assert refused(empty).msg == "required env variables [CNI_COMMAND] missing"


@pytest.mark.parametrize(("verb", "name"), [(verb, name) for verb, names in REQUIRED.items() for name in names])
def test_an_empty_required_variable_counts_as_missing(verb: str, name: str) -> None:
    assert refused({**COMPLETE, "CNI_COMMAND": verb, name: ""}).msg == f"required env variables [{name}] missing"


@pytest.mark.parametrize(
    ("verb", "name"),
    [(verb, name) for verb, names in REQUIRED.items() for name in COMPLETE if name not in names],
)
def test_any_other_variable_may_be_absent(verb: str, name: str) -> None:
    check_environment({key: value for key, value in {**COMPLETE, "CNI_COMMAND": verb}.items() if key != name})


@pytest.mark.parametrize("verb", ["GC", "STATUS", "VERSION", "FROB"])
def test_verbs_without_an_attachment_ignore_its_variables(verb: str) -> None:
    check_environment({**COMPLETE, "CNI_COMMAND": verb, "CNI_CONTAINERID": "../..", "CNI_IFNAME": "x" * 99})


@pytest.mark.parametrize("verb", ["ADD", "CHECK", "DEL"])
@pytest.mark.parametrize("container_id", ["a", "0", "c0ffee", "a_b.c-d", "A" * 300])
def test_container_ids_are_letters_digits_and_three_marks(verb: str, container_id: str) -> None:
    check_environment({**COMPLETE, "CNI_COMMAND": verb, "CNI_CONTAINERID": container_id})


@pytest.mark.parametrize("verb", ["ADD", "CHECK", "DEL"])
@pytest.mark.parametrize(
    "container_id", ["-a", ".a", "_a", "a/b", "a b", "a\n", "\na", "ä", "a\u0661", "a:b", "..", "a\udcff"]
)
def test_other_container_ids_are_refused(verb: str, container_id: str) -> None:
    error = refused({**COMPLETE, "CNI_COMMAND": verb, "CNI_CONTAINERID": container_id})
    assert (error.msg, error.details) == ("invalid characters in containerID", container_id)


@pytest.mark.parametrize("verb", ["ADD", "CHECK", "DEL"])
@pytest.mark.parametrize("ifname", ["e", "eth0", "x" * 15, "é" * 7, "...", "eth0.100", "a@b", "-"])
def test_interface_names_of_up_to_fifteen_bytes_pass(verb: str, ifname: str) -> None:
    check_environment({**COMPLETE, "CNI_COMMAND": verb, "CNI_IFNAME": ifname})


@pytest.mark.parametrize("verb", ["ADD", "CHECK", "DEL"])
@pytest.mark.parametrize(
    ("ifname", "msg"),
    [
        ("x" * 16, "interface name is too long"),
        ("é" * 8, "interface name is too long"),
        (".", "interface name is . or .."),
        ("..", "interface name is . or .."),
        ("a/b", "interface name contains / or : or whitespace characters"),
        ("eth0:1", "interface name contains / or : or whitespace characters"),
        ("eth 0", "interface name contains / or : or whitespace characters"),
        ("eth0\n", "interface name contains / or : or whitespace characters"),
        ("eth\u00a00", "interface name contains / or : or whitespace characters"),
        ("eth\u30000", "interface name contains / or : or whitespace characters"),
        ("eth\udcff", "interface name is not UTF-8"),
    ],
)
def test_other_interface_names_are_refused(verb: str, ifname: str, msg: str) -> None:
    error = refused({**COMPLETE, "CNI_COMMAND": verb, "CNI_IFNAME": ifname})
    assert error.msg == msg
    assert (bool(error.details), bool(error.remedy)) == ("too long" in msg, "UTF-8" in msg)


def test_an_invalid_variable_wins_over_a_missing_one() -> None:
    assert (
        refused({**COMPLETE, "CNI_COMMAND": "ADD", "CNI_NETNS": "", "CNI_IFNAME": "."}).msg
        == "interface name is . or .."
    )


def test_the_first_invalid_variable_of_the_table_wins() -> None:
    assert refused({**COMPLETE, "CNI_COMMAND": "ADD", "CNI_IFNAME": ".", "CNI_CONTAINERID": "/"}).details == "/"


def test_the_table_names_only_variables_of_the_specification() -> None:
    assert set(VARIABLES) == {"CNI_COMMAND", "CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH"}


@pytest.mark.parametrize(
    ("value", "allowed"),
    [("1", True), ("true", True), ("TRUE", True), ("True", True), ("", False), ("0", False), ("yes", False), ("1 ", False), ("01", False), ("false", False)],
)  # fmt: skip
def test_the_netns_override_is_one_or_true(value: str, *, allowed: bool) -> None:
    assert allows_own_netns({"CNI_NETNS_OVERRIDE": value}) is allowed


def composed(config: bytes | dict[str, Any], log: Callable[[str], object] = print) -> Request:
    stdin = config if isinstance(config, bytes) else json.dumps(config).encode()
    return compose({**COMPLETE, "CNI_COMMAND": "ADD"}, stdin, log)


def test_a_request_holds_what_came_in() -> None:
    stdin = b' {"Name": "net", "cniVersion": "1.0.0", "mtu": 1400}\n'
    request = composed(stdin)
    assert (request.command, request.container_id, request.netns) == ("ADD", "c0ffee", "/var/run/netns/a")
    assert (request.ifname, request.args, request.path) == ("eth0", "IgnoreUnknown=1", "/opt/cni/bin:/usr/lib/cni")
    assert (request.name, request.version, request.config.number("mtu")) == ("net", "1.0.0", 1400)
    assert request.stdin == stdin
    assert request.environ == {**COMPLETE, "CNI_COMMAND": "ADD"}


def test_absent_variables_are_empty_texts() -> None:
    request = compose({"CNI_COMMAND": "GC", "CNI_PATH": "/p"}, b'{"name": "net"}', print)
    assert (request.container_id, request.netns, request.ifname, request.args) == ("", "", "", "")


def test_the_log_goes_where_the_caller_says() -> None:
    lines: list[str] = []
    composed({"name": "net"}, lines.append).log("busy")
    assert lines == ["busy"]


@pytest.mark.parametrize(
    "config", [{"name": "net"}, {"name": "net", "cniVersion": ""}, {"name": "net", "cniVersion": None}]
)
def test_an_absent_version_is_0_1_0(config: dict[str, Any]) -> None:
    assert composed(config).version == "0.1.0"


def test_a_version_that_is_no_string_is_a_decoding_failure() -> None:
    with pytest.raises(CniError, match='"cniVersion": got 1') as caught:
        _ = composed({"name": "net", "cniVersion": 1}).version
    assert caught.value.code == 6


@pytest.mark.parametrize(
    ("config", "code", "message"),
    [
        (b"", 6, "error decoding JSON"),
        (b"[]", 6, "error decoding JSON: expected an object, got a list"),
        ({"name": 5}, 6, 'invalid value of "name": got 5'),
        ({"name": ["net"]}, 6, 'invalid value of "name": got a list'),
        ({}, 7, "missing network name"),
        (b"null", 7, "missing network name"),
        ({"name": ""}, 7, "missing network name"),
        ({"name": None}, 7, "missing network name"),
        ({"name": "a/b"}, 7, "invalid characters found in network name: a/b"),
        ({"name": ".a"}, 7, "invalid characters found in network name: .a"),
        ({"name": "net\n"}, 7, "invalid characters found in network name: net\n"),
        ({"name": "\u00e4"}, 7, "invalid characters found in network name: \u00e4"),
    ],
)
def test_a_bad_configuration_is_refused(config: bytes | dict[str, Any], code: int, message: str) -> None:
    with pytest.raises(CniError) as caught:
        composed(config)
    assert caught.value.code == code
    assert str(caught.value).startswith(message)


def test_a_malformed_prev_result_is_refused_only_when_it_is_read() -> None:
    request = composed({"name": "net", "cniVersion": "1.0.0", "prevResult": 5})
    with pytest.raises(CniError, match="could not parse prevResult"):
        _ = request.prev_result


def test_the_prev_result_is_read_in_the_configurations_version() -> None:
    assert composed({"name": "net", "cniVersion": "1.0.0", "prevResult": {}}).prev_result == Result()
    assert composed({"name": "net"}).prev_result is None
