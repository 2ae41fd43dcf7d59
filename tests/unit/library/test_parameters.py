"""Default options of models."""

from __future__ import annotations

from typing import Any

import pytest

from hausgeist.errors import InvalidRequest, NotSupported
from hausgeist.library.parameters import checked_parameters


def test_one_form() -> None:
    given = {"temperature": 1, "stop": "END", "num_ctx": 8192.0, "top_k": 40, "seed": -1, "top_p": None}
    checked = checked_parameters(given)
    assert checked == {"temperature": 1.0, "stop": ["END"], "num_ctx": 8192, "top_k": 40, "seed": -1}
    assert list(checked) == sorted(checked)
    assert isinstance(checked["num_ctx"], int)
    assert isinstance(checked["temperature"], float)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", "hot"), ("temperature", True), ("temperature", float("nan")), ("temperature", float("inf")), ("temperature", [1]),
        ("num_ctx", 0), ("num_ctx", 1.5), ("top_k", 2**63), ("top_k", 1e300), ("stop", 1), ("stop", [1]), ("stop", ["a"] * 65), ("stop", [""]),
        ("stop", "x" * 2000), ("stop", "\ud800"), ("num_ctx", 10**400), ("temperature", -(10**400)), ("temprature", 1), ("", 1), ("x" * 10_000, 1),
    ],
)  # fmt: skip
def test_wrong_values(name: str, value: Any) -> None:
    with pytest.raises(InvalidRequest) as caught:
        checked_parameters({name: value})
    assert caught.value.param == "parameters"
    assert name[:50] in caught.value.message
    assert len(caught.value.message) < 400


def test_what_would_change_nothing_is_refused() -> None:
    with pytest.raises(NotSupported, match="use_mmap"):
        checked_parameters({"use_mmap": True})
