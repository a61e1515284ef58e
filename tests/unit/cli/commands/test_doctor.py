"""Claims about the table of checks and how verdicts are told; docs/doctor.md has a row for each check, in the same words."""

from build.programs import ROOT
from cli.checks import Check, DoctorInput, Finding, InapplicableError
from cli.commands import doctor
from cli.inspect.network_state import NetworkState

SEEN = DoctorInput(NetworkState.__new__(NetworkState))


def skip(_: DoctorInput) -> list[Finding]:
    raise InapplicableError("nothing there")


def test_the_page_has_a_row_for_every_check() -> None:
    page = (ROOT / "docs" / "doctor.md").read_text(encoding="utf-8")
    assert [one.name for one in doctor.CHECKS if f"| `{one.name}` | {one.why} | {one.at} |" not in page] == []
    assert page.count("\n| `") == len(doctor.CHECKS)


def test_no_two_checks_share_a_name() -> None:
    assert len({one.name for one in doctor.CHECKS}) == len(doctor.CHECKS)


def test_a_check_is_well_failed_or_skipped() -> None:
    checks = (
        Check("a", "why", "at", lambda _: ()),
        Check("b", "why", "at", lambda _: [Finding("saw", "do")]),
        Check("c", "why", "at", skip),
    )
    assert [one.ok for one in doctor.examine(SEEN, checks)] == [True, False, None]


def test_people_see_the_finding_below_its_check_and_the_sum_at_the_end() -> None:
    verdicts = doctor.examine(
        SEEN, (Check("b", "why", "at", lambda _: [Finding("a wall", "open it")]), Check("c", "why", "at", skip))
    )
    shown = doctor.report("sqlite:x", verdicts).splitlines()
    assert shown[0] == "network in sqlite:x"
    assert [line.split() for line in shown[1:4]] == [
        ["FAILED", "b", "at"],
        ["saw:", "a", "wall"],
        ["do:", "open", "it"],
    ]
    assert (shown[4].split(), shown[5].split()[0], shown[-1]) == (["why:", "why"], "skipped", "1 of 2 checks failed")


def test_people_are_told_when_nothing_is_wrong() -> None:
    assert doctor.report("x", doctor.examine(SEEN, ())).endswith("nothing is wrong here")
