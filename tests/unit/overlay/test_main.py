"""Claims: --version and --help end with 0, a bad flag or variable with 2 and one sentence; nothing is printed to stdout."""

import pytest

from overlay.main import main


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--version"], "tulled "),
        (["-version"], "tulled "),
        (["--ip-masq", "--version=true"], "tulled "),
        (["--help"], "--subnet-file"),
    ],
)
def test_questions_are_answered_with_0(capsys: pytest.CaptureFixture[str], words: list[str], said: str) -> None:
    assert main(words, {}) == 0
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "environ"), [(["--nonsense"], {}), (["--healthz-port", "x"], {}), ([], {"FLANNELD_IP_MASQ": "perhaps"})]
)
def test_a_bad_setting_ends_with_2_and_one_sentence(
    capsys: pytest.CaptureFixture[str], words: list[str], environ: dict[str, str]
) -> None:
    assert main(words, environ) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n"), err[:8]) == ("", 1, "tulled: ")
