"""What was said of loads against what they took: only the model counts, only what was measured counts, and signs tell in which direction."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Literal

import pytest

from hausgeist.model import Footprint
from hausgeist.planner.accuracy import Load, accuracy

MB = 10**6
RUNTIME = 200 * MB


def said(model: int, source: Literal["fit", "estimate"] = "fit", devices: dict[str, int] | None = None) -> Footprint:
    """Of a model of so many MB, beside a process of 200."""
    host = model * MB + RUNTIME - sum((devices or {}).values())
    return Footprint(host=host, devices=devices or {}, parts={"cache": 7, "runtime": RUNTIME}, source=source)


def took(total: int, devices: dict[str, int] | None = None) -> Footprint:
    return Footprint(host=total * MB - sum((devices or {}).values()), devices=devices or {}, parts={"anonymous": 1}, source="measured")


def load(**changes: object) -> Load:
    one = Load(
        model="m", digest="d", architecture="llama", task="generate", context=1000, slots=1, cache_type="f16", engine="e", at=1.0,
        arithmetic=said(2020, "estimate"), fit=said(1990), loaded=took(400), peak=took(2200), filled=1000,
    )  # fmt: skip
    return replace(one, **changes)  # type: ignore[arg-type]


def test_the_worker_without_a_model_is_in_no_error() -> None:
    [one] = accuracy([load()]).loads
    assert one.measured == 2000 * MB
    assert one.arithmetic == pytest.approx(0.01)
    assert one.fit == pytest.approx(-0.005)


def test_arithmetic_that_takes_the_process_for_larger_is_not_blamed_for_it() -> None:
    other = Footprint(host=2020 * MB + 333 * MB, parts={"runtime": 333 * MB}, source="estimate")
    [one] = accuracy([load(arithmetic=other)]).loads
    assert one.arithmetic == pytest.approx(0.01)


def test_libraries_that_others_use_too_are_promised_whole_and_compared_by_their_share() -> None:
    shared = replace(said(1990), alone=RUNTIME - 30 * MB)
    [one] = accuracy([load(fit=shared, peak=took(2170))]).loads
    assert one.measured == 2000 * MB
    assert one.fit == pytest.approx(-0.005)


def test_what_was_not_measured_is_listed_and_counted_nowhere() -> None:
    found = accuracy([load(peak=None), load(fit=None), load(arithmetic=None)])
    assert len(found.loads) == 3
    assert (found.arithmetic.loads, found.fit.loads) == (1, 1)
    nothing = accuracy([load(peak=None)])
    assert nothing.arithmetic.median is None
    assert nothing.json()["loads"][0]["arithmetic_error"] is None


def test_a_measurement_smaller_than_the_process_is_none() -> None:
    [one] = accuracy([load(peak=took(150))]).loads
    assert (one.measured, one.fit) == (0, None)


def test_medians_are_of_sizes_and_the_worst_keeps_its_sign() -> None:
    loads = [load(model=name, fit=said(size), at=at) for at, (name, size) in enumerate([("a", 2020), ("b", 1900), ("c", 1998)])]
    found = accuracy(loads)
    assert found.fit.median == pytest.approx(0.01)
    assert found.fit.worst == pytest.approx(-0.05)
    assert found.fit.worst_model == "b"
    assert [one.load.model for one in found.loads] == ["c", "b", "a"], "the last one first"


def test_full_ones_are_large_and_were_filled() -> None:
    loads = [load(), load(filled=899), load(fit=said(500), arithmetic=said(500, "estimate"), peak=took(1199))]
    found = accuracy(loads)
    assert [one.full for one in found.loads] == [True, False, False]
    assert (found.fit.loads, found.full_fit.loads, found.full_arithmetic.loads) == (3, 1, 1)
    assert found.spread("fit", full=True) == found.full_fit
    assert found.spread("arithmetic") == found.arithmetic


def test_devices_count_where_the_driver_tells_and_nothing_is_said_where_not() -> None:
    on_card = {"CUDA0": 1500 * MB}
    [told] = accuracy([load(fit=said(1990, devices=on_card), peak=took(2200, on_card))]).loads
    assert told.fit == pytest.approx(-0.005)
    [silent] = accuracy([load(fit=said(1990, devices=on_card), peak=took(700))]).loads
    assert silent.fit is None


def test_json_says_units() -> None:
    told = json.loads(json.dumps(accuracy([load()]).json()))
    assert set(told) == {"arithmetic", "fit", "full", "loads"}
    assert told["full"]["fit"] == {"loads": 1, "median_error": 0.005, "worst_error": -0.005, "worst_model": "m"}
    [one] = told["loads"]
    assert one["fit"] == {"kv_cache_bytes": 7, "runtime_bytes": RUNTIME, "host_bytes": 2190 * MB, "devices_bytes": {}, "total_bytes": 2190 * MB}
    assert (one["base_bytes"], one["measured_bytes"], one["measured"]["total_bytes"]) == (RUNTIME, 2000 * MB, 2200 * MB)
    assert (one["filled"], one["full"]) == (1.0, True)
    assert "loads" not in accuracy([load()]).json(loads=False)
