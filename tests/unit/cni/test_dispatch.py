"""Claims: docs/reference/cni.md 1.3 row by row: which check wins, with which code and which literal; what a verb raises becomes one error.

The order of the checks is a table of requests that break several rules at once. Code 8 comes before ADD works and after
DEL has cleaned up. A rejected configuration names `tulle lint`, unless a delegate rejected it. Not covered: the environment table (test_request), bad input in bulk (test_malformed).
"""

from __future__ import annotations

import errno
import io
import json
from ipaddress import ip_interface
from typing import TYPE_CHECKING, Any

import pytest

from cni import dispatch, installed
from cni.errors import SYSTEM_REMEDIES, CniError, Code, RelayedError
from cni.program import Program
from cni.skel import run
from cni.types import Address, Interface, Result
from cni.versions import SUPPORTED

if TYPE_CHECKING:
    from pathlib import Path

    from cni.program import Verbs
    from cni.request import Request
    from tests.unit.cni.conftest import Serve, Served

ALL = ("ADD", "CHECK", "DEL", "GC", "STATUS")
RESULT = Result((Interface("eth0"),), (Address(ip_interface("10.1.0.5/24")),))


class Calls:
    """A program that notes which requests reach its verbs, and may raise."""

    def __init__(self, failure: Exception | None = None, versions: tuple[str, ...] = SUPPORTED) -> None:
        self.seen: list[Request] = []
        self.failure = failure
        self.program = Program("probe", self.verbs, versions=versions)

    def verbs(self) -> Verbs:
        return dict.fromkeys(ALL, self.act)

    def act(self, request: Request) -> Result:
        self.seen.append(request)
        if self.failure is not None:
            raise self.failure
        return RESULT


def stdin(version: Any = "1.1.0", **keys: Any) -> bytes:
    return json.dumps({"name": "net", "cniVersion": version, **keys}).encode()


def error(served: Served) -> dict[str, Any]:
    assert served.status == 1
    document = json.loads(served.stdout)
    assert isinstance(document, dict)
    return document


@pytest.mark.parametrize("verb", ALL)
def test_a_verb_gets_the_request_and_only_add_prints(serve: Serve, verb: str) -> None:
    calls = Calls()
    served = serve(calls.program, stdin(), CNI_COMMAND=verb)
    assert served.status == 0
    assert [request.command for request in calls.seen] == [verb]
    assert bool(served.stdout) is (verb == "ADD")


@pytest.mark.parametrize("version", SUPPORTED)
def test_the_result_is_printed_in_the_configurations_version(serve: Serve, version: str) -> None:
    served = serve(Calls().program, stdin(version))
    assert json.loads(served.stdout)["cniVersion"] == version


@pytest.mark.parametrize("config", [b'{"name": "net"}', stdin(""), stdin(None)])
def test_the_result_of_a_configuration_without_version_is_0_1_0(serve: Serve, config: bytes) -> None:
    printed = json.loads(serve(Calls().program, config).stdout)
    assert printed == {"cniVersion": "0.1.0", "ip4": {"ip": "10.1.0.5/24"}, "dns": {}}


@pytest.mark.parametrize("verb", ALL)
def test_a_verb_the_program_lacks_succeeds(serve: Serve, verb: str) -> None:
    served = serve(Program("probe", dict), stdin(), CNI_COMMAND=verb)
    assert (served.status, served.stdout) == (0, '{"cniVersion": "1.1.0"}' if verb == "ADD" else "")


def test_a_result_that_cannot_be_converted_is_an_error_alone(serve: Serve) -> None:
    served = serve(Program("probe", lambda: {"ADD": lambda _: Result()}), stdin("0.2.0"))
    assert error(served)["msg"] == "cannot convert: no valid IP addresses"


OLD, NEW = ("0.1.0", "0.2.0"), ("0.1.0", "1.0.0")

ROWS: list[tuple[str, str, tuple[str, ...], bytes, int, str]] = [
    ("FROB", "junk before unknown verb", SUPPORTED, b"junk", 6, "error decoding JSON"),
    ("FROB", "name before unknown verb", SUPPORTED, b"{}", 7, "missing network name"),
    ("FROB", "unknown verb before version", SUPPORTED, stdin(5), 4, "unknown CNI_COMMAND: FROB"),
    ("add", "verbs are upper case", SUPPORTED, stdin(), 4, "unknown CNI_COMMAND: add"),
    ("ADD", "name type before version type", SUPPORTED, stdin(5, name=5), 6, 'invalid value of "name"'),
    (
        "ADD",
        "name letters before version type",
        SUPPORTED,
        stdin(5, name="/"),
        7,
        "invalid characters found in network name",
    ),
    *((verb, "version type", SUPPORTED, stdin(5), 6, 'invalid value of "cniVersion": got 5') for verb in ALL),
    *((verb, "unknown version", SUPPORTED, stdin("1.1.1"), 1, "incompatible CNI versions") for verb in ("ADD", "DEL")),
    *((verb, "junk version", SUPPORTED, stdin("junk"), 1, "incompatible CNI versions") for verb in ("ADD", "DEL")),
    *(
        (verb, "short version", SUPPORTED, stdin("1.0"), 1, "incompatible CNI versions")
        for verb in ("ADD", "DEL", "CHECK")
    ),
    *((verb, "junk version", SUPPORTED, stdin("junk"), 6, "invalid version") for verb in ("CHECK", "GC", "STATUS")),
    *((verb, "four parts", SUPPORTED, stdin("1.0.0.0"), 6, "invalid version") for verb in ("CHECK", "GC", "STATUS")),
    ("CHECK", "old config", SUPPORTED, stdin("0.3.1"), 1, "config version does not allow CHECK"),
    ("CHECK", "no version", SUPPORTED, b'{"name": "net"}', 1, "config version does not allow CHECK"),
    ("CHECK", "old config, unknown to the program", NEW, stdin("0.3.1"), 1, "config version does not allow CHECK"),
    ("CHECK", "old program", OLD, stdin("0.4.0"), 1, "plugin version does not allow CHECK"),
    ("CHECK", "newer program that lacks the version", NEW, stdin("0.4.0"), 1, "incompatible CNI versions"),
    ("GC", "old config", SUPPORTED, stdin("1.0.0"), 1, "config version does not allow GC"),
    ("GC", "old program", NEW, stdin("1.1.0"), 1, "plugin version does not allow GC"),
    ("GC", "newer config", SUPPORTED, stdin("1.2.0"), 1, "plugin version does not allow GC"),
    ("STATUS", "old config", SUPPORTED, stdin("1.0.0"), 1, "config version does not allow STATUS"),
    ("STATUS", "old program", NEW, stdin("1.1.0"), 1, "plugin version does not allow STATUS"),
    ("ADD", "program without 0.1.0", ("1.0.0",), b'{"name": "net"}', 1, "incompatible CNI versions"),
]


@pytest.mark.parametrize(
    ("verb", "_why", "versions", "config", "code", "msg"), ROWS, ids=[f"{row[0]} {row[1]}" for row in ROWS]
)
def test_the_first_check_of_the_order_wins(
    serve: Serve, verb: str, _why: str, versions: tuple[str, ...], config: bytes, code: int, msg: str
) -> None:
    calls = Calls(versions=versions)
    document = error(serve(calls.program, config, CNI_COMMAND=verb))
    assert document["code"] == code
    assert document["msg"].startswith(msg)
    assert calls.seen == []


def test_the_environment_is_checked_before_stdin(serve: Serve) -> None:
    assert (
        error(serve(Calls().program, b"junk", CNI_IFNAME=None))["msg"] == "required env variables [CNI_IFNAME] missing"
    )


def test_incompatible_versions_are_listed_as_go_lists_them(serve: Serve) -> None:
    document = error(serve(Calls(versions=("0.4.0", "1.0.0")).program, b'{"name": "net"}'))
    assert document["details"] == 'config is "0.1.0", plugin supports ["0.4.0" "1.0.0"]'


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (stdin("0.4.0", name=""), "1.1.0"),
        (stdin("0.4.0", prevResult=5), "0.4.0"),
        (b'{"name": "net", "prevResult": 5}', "0.1.0"),
        (stdin("9.9.9"), "1.1.0"),
        (stdin([]), "1.1.0"),
    ],
)
def test_an_error_speaks_the_configurations_version_where_it_is_one(serve: Serve, config: bytes, expected: str) -> None:
    program = Program("probe", lambda: {"ADD": lambda request: request.prev_result})
    assert error(serve(program, config))["cniVersion"] == expected


class Broken(io.RawIOBase):
    """A stdin that fails while it is read."""

    def readable(self) -> bool:
        return True

    def readinto(self, _: object) -> int:
        raise OSError(errno.EIO, "Input/output error")


def test_a_stdin_that_cannot_be_read_is_code_5() -> None:
    stdout = io.StringIO()
    environ = {"CNI_COMMAND": "STATUS", "CNI_PATH": "/p"}
    assert run(Calls().program, environ=environ, stdin=Broken(), stdout=stdout, stderr=io.StringIO()) == 1
    assert json.loads(stdout.getvalue())["msg"] == "error reading from stdin: [Errno 5] Input/output error"
    assert json.loads(stdout.getvalue())["code"] == 5


def test_a_stdin_without_end_is_refused(serve: Serve) -> None:
    document = error(serve(Calls().program, b" " * (dispatch.STDIN_BYTES + 1)))
    assert (document["code"], document["msg"]) == (6, "configuration on stdin is larger than 16 MiB")


def test_a_stdin_of_the_allowed_size_is_read(serve: Serve) -> None:
    assert serve(Calls().program, stdin().ljust(dispatch.STDIN_BYTES)).status == 0


@pytest.fixture
def own(tmp_path: Path) -> str:
    """Return a file that stands for the namespace the program runs in."""
    (tmp_path / "own").touch()
    return str(tmp_path / "own")


def test_add_into_the_own_namespace_is_refused_before_any_work(serve: Serve, own: str) -> None:
    calls = Calls()
    document = error(serve(calls.program, stdin(), own, CNI_NETNS=own))
    assert (document["code"], document["msg"]) == (8, "plugin's netns and netns from CNI_NETNS should not be the same")
    assert "CNI_NETNS_OVERRIDE=1" in document["remedy"]
    assert calls.seen == []


def test_another_path_to_the_own_namespace_is_recognised(serve: Serve, own: str, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(own)
    assert error(serve(Calls().program, stdin(), own, CNI_NETNS=str(tmp_path / "link")))["code"] == 8


def test_del_in_the_own_namespace_cleans_up_as_if_it_were_gone_and_then_reports(serve: Serve, own: str) -> None:
    calls = Calls()
    document = error(serve(calls.program, stdin(), own, CNI_COMMAND="DEL", CNI_NETNS=own))
    assert document["code"] == 8
    assert [(request.netns, request.environ["CNI_NETNS"]) for request in calls.seen] == [("", "")]


def test_a_failing_del_in_the_own_namespace_tells_its_own_failure(serve: Serve, own: str) -> None:
    calls = Calls(CniError(Code.TRY_AGAIN_LATER, "busy"))
    assert error(serve(calls.program, stdin(), own, CNI_COMMAND="DEL", CNI_NETNS=own))["code"] == 11


@pytest.mark.parametrize("override", ["1", "true", "TRUE"])
@pytest.mark.parametrize("verb", ["ADD", "DEL"])
def test_the_override_allows_the_own_namespace(serve: Serve, own: str, verb: str, override: str) -> None:
    calls = Calls()
    served = serve(calls.program, stdin(), own, CNI_COMMAND=verb, CNI_NETNS=own, CNI_NETNS_OVERRIDE=override)
    assert served.status == 0
    assert [request.netns for request in calls.seen] == [own]


@pytest.mark.parametrize("verb", ["CHECK", "GC", "STATUS"])
def test_other_verbs_do_not_mind_the_own_namespace(serve: Serve, own: str, verb: str) -> None:
    assert serve(Calls().program, stdin(), own, CNI_COMMAND=verb, CNI_NETNS=own).status == 0


@pytest.mark.parametrize("netns", ["/absent", "nul\0", "x" * 5000])
def test_a_namespace_that_cannot_be_opened_is_left_to_the_verb(serve: Serve, own: str, netns: str) -> None:
    assert serve(Calls().program, stdin(), own, CNI_NETNS=netns).status == 0


def test_the_version_is_checked_before_the_namespace(serve: Serve, own: str) -> None:
    assert error(serve(Calls().program, stdin("9.0.0"), own, CNI_NETNS=own))["code"] == 1


class KernelError(OSError):
    """Stands for what the kernel package derives from OSError."""

    def __str__(self) -> str:
        return "creating veth vethab12: File exists"


class HintingError(KernelError):
    """Stands for a refusal with a known remedy."""

    hint = "run this as root"


BUSY = CniError(Code.TRY_AGAIN_LATER, "busy", "wait")
DISK = SYSTEM_REMEDIES[errno.ENOSPC]
FULL = OSError(errno.ENOSPC, "No space left on device", "/var/lib/cni/networks/net/10.1.0.5")


@pytest.mark.parametrize(
    ("failure", "code", "msg", "remedy"),
    [
        (BUSY, 11, "busy", "wait"),
        (CniError(7, "bad"), 7, "bad", ""),
        (CniError(4711, "odd"), 4711, "odd", ""),
        (FULL, 5, f"No space left on device: {FULL.filename}", DISK),
        (PermissionError(errno.EACCES, "Permission denied", "/run"), 5, "Permission denied: /run", "run it as root"),
        (OSError("no errno"), 5, "no errno", ""),
        (KernelError(17, "File exists"), 100, "creating veth vethab12: File exists", ""),
        (
            HintingError(1, "Operation not permitted"),
            100,
            "creating veth vethab12: File exists",
            "run this as root",
        ),
        (ExceptionGroup("all", [BUSY]), 11, "busy", "wait"),
        (ExceptionGroup("all", [BUSY, FULL]), 11, f"busy; No space left on device: {FULL.filename}", f"wait; {DISK}"),
        (
            ExceptionGroup(
                "all", [FULL, ExceptionGroup("in", [BUSY, CniError(7, "bad", "wait"), CniError(3, "gone", "fix")])]
            ),
            5,
            f"No space left on device: {FULL.filename}; busy; bad; gone",
            f"{DISK}; wait; fix",
        ),
    ],
)
def test_what_a_verb_raises_becomes_one_error(failure: Exception, code: int, msg: str, remedy: str) -> None:
    refused = dispatch.refusal(failure)
    assert (refused.code, refused.msg, refused.remedy, refused.details) == (code, msg, remedy, "")


@pytest.mark.parametrize(
    ("failure", "msg"), [(ValueError("odd"), "odd"), (KeyError("a"), "'a'"), (ZeroDivisionError(), "ZeroDivisionError")]
)
def test_the_unforeseen_is_999_and_says_what_to_do(failure: Exception, msg: str) -> None:
    refused = dispatch.refusal(failure)
    assert (refused.code, refused.msg) == (999, msg)
    assert refused.details == f"unexpected {type(failure).__name__}, a bug in tulle"
    assert refused.remedy.startswith("run it again with TULLE_DEBUG=1")


@pytest.mark.parametrize("verb", ALL)
def test_a_refusal_is_the_only_thing_on_stdout(serve: Serve, verb: str) -> None:
    served = serve(Calls(BUSY).program, stdin(), CNI_COMMAND=verb)
    assert error(served) == {"cniVersion": "1.1.0", "code": 11, "msg": "busy", "remedy": "wait"}


def test_what_is_empty_is_left_out(serve: Serve) -> None:
    assert set(error(serve(Calls(CniError(11, "later")).program, stdin()))) == {"cniVersion", "code", "msg"}


def test_details_stand_beside_the_remedy(serve: Serve) -> None:
    document = error(serve(Calls(CniError(11, "busy", "wait", details="by c1")).program, stdin()))
    assert (document["details"], document["remedy"]) == ("by c1", "wait")


@pytest.mark.parametrize("verb", ALL)
def test_a_remedy_is_told_on_stderr_too(serve: Serve, verb: str) -> None:
    refused = CniError(11, "busy", "wait", details="by c1")
    assert serve(Calls(refused).program, stdin(), CNI_COMMAND=verb).stderr == "probe: busy: by c1: wait\n"


@pytest.mark.parametrize("refused", [CniError(11, "later"), RelayedError(11, "busy", "wait")])
def test_what_has_no_remedy_or_was_told_already_is_not_told_on_stderr(serve: Serve, refused: CniError) -> None:
    assert serve(Calls(refused).program, stdin()).stderr == ""


@pytest.mark.parametrize(("debug", "shown"), [("1", True), ("0", False), ("", False)])
def test_a_traceback_goes_to_stderr_for_who_debugs(serve: Serve, debug: str, *, shown: bool) -> None:
    served = serve(Calls(ValueError("odd")).program, stdin(), TULLE_DEBUG=debug)
    assert ("Traceback" in served.stderr) is shown
    assert error(served)["code"] == 999


def test_verbs_that_cannot_be_loaded_are_told_as_an_error(serve: Serve) -> None:
    def broken() -> Verbs:
        raise ImportError("No module named 'jeepney'")

    document = error(serve(Program("probe", broken), stdin()))
    assert (document["code"], document["remedy"]) == (5, installed.REMEDY)
    assert document["msg"].endswith(": No module named 'jeepney'")


def test_no_memory_is_a_matter_of_time(serve: Serve) -> None:
    assert error(serve(Calls(MemoryError()).program, stdin()))["code"] == 11


@pytest.mark.parametrize("code", [2, 7])
@pytest.mark.parametrize(("remedy", "told"), [("", dispatch.ADVICE), ("use 5", f"use 5; {dispatch.ADVICE}")])
def test_a_rejected_configuration_names_the_command_that_shows_all_of_it(
    serve: Serve, code: int, remedy: str, told: str
) -> None:
    document = error(serve(Calls(CniError(code, "bad", remedy)).program, stdin()))
    assert (document["code"], document["msg"], document["remedy"]) == (code, "bad", told)


def test_the_rejection_of_a_delegate_of_ours_names_it_once(serve: Serve) -> None:
    refused = RelayedError(7, "no IP ranges specified", f"add ranges; {dispatch.ADVICE}")
    assert error(serve(Calls(ExceptionGroup("DEL", [refused])).program, stdin()))["remedy"] == refused.remedy


def test_nothing_is_added_to_what_a_delegate_said(serve: Serve) -> None:
    assert "remedy" not in error(serve(Calls(RelayedError(7, "foreign")).program, stdin()))


def test_nothing_is_added_to_what_the_skeleton_refuses(serve: Serve) -> None:
    document = error(serve(Calls().program, b'{"name": "a/b"}'))
    assert (document["msg"], document["details"]) == ("invalid characters found in network name", "a/b")
