"""Claims: every error of nested groups is found; what a real process does is in tests/netns/overlay/test_supervisor.py."""

from overlay.supervisor import leaves


def test_every_error_of_a_group_is_found() -> None:
    inner = ExceptionGroup("inner", [ValueError("b"), OSError("c")])
    assert [str(one) for one in leaves(ExceptionGroup("outer", [KeyError("a"), inner]))] == ["'a'", "b", "c"]
    assert [str(one) for one in leaves(ValueError("alone"))] == ["alone"]
