"""Claims: a program speaks all versions unless it says otherwise, and telling what it is loads none of its verbs."""

from cni.program import Program
from cni.versions import SUPPORTED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.program import Verbs


def test_a_program_speaks_all_versions_by_default() -> None:
    assert Program("p", dict).versions == SUPPORTED


def test_naming_a_program_loads_no_verb() -> None:
    loaded: list[str] = []

    def verbs() -> "Verbs":
        loaded.append("now")
        return {}

    program = Program("p", verbs, versions=("1.0.0",), about="words")
    assert (program.name, program.versions, program.about, loaded) == ("p", ("1.0.0",), "words", [])
