"""Claims about kernel.errors.

- the text holds the request, the kernel's sentence and the meaning of errno, and no number
- `gone` is true of the errnos that mean absent and of no other; `exists` of EEXIST alone
- refusals with one remedy carry it
"""

import errno
import os

import pytest

from kernel.errors import KernelError, NamespaceGone


def test_the_text_is_the_request_and_the_meaning() -> None:
    assert str(KernelError(errno.EEXIST, "creating bridge br0")) == "creating bridge br0: File exists"


def test_the_kernels_sentence_comes_before_the_meaning() -> None:
    error = KernelError(errno.ENETUNREACH, "adding route", "Nexthop has invalid gateway")
    assert str(error) == "adding route: Nexthop has invalid gateway (Network is unreachable)"
    assert error.what == "adding route"


@pytest.mark.parametrize("name", ["ENODEV", "ESRCH", "ENOENT", "EADDRNOTAVAIL", "ENXIO"])
def test_absent_is_gone(name: str) -> None:
    assert KernelError(getattr(errno, name), "deleting").gone


@pytest.mark.parametrize("number", sorted(set(errno.errorcode) - {2, 3, 6, 19, 99}))
def test_nothing_else_is_gone(number: int) -> None:
    assert not KernelError(number, "deleting").gone, os.strerror(number)


def test_only_eexist_exists() -> None:
    assert [number for number in errno.errorcode if KernelError(number, "x").exists] == [errno.EEXIST]


@pytest.mark.parametrize("name", ["ENOPKG", "EOPNOTSUPP", "EPROTONOSUPPORT", "EAFNOSUPPORT"])
def test_what_program_or_kernel_lacks_is_unsupported(name: str) -> None:
    assert KernelError(getattr(errno, name), "listing").unsupported
    assert not KernelError(errno.EPERM, "listing").unsupported


def test_a_missing_privilege_has_a_remedy() -> None:
    assert "CAP_NET_ADMIN" in KernelError(errno.EPERM, "x").hint


def test_an_unknown_cause_has_no_remedy() -> None:
    assert KernelError(errno.EIO, "x").hint == ""


def test_a_gone_namespace_is_a_kernel_error_and_an_os_error() -> None:
    assert issubclass(NamespaceGone, KernelError)
    assert issubclass(KernelError, OSError)
