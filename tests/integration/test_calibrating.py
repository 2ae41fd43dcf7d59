"""Calibration with the real engine and a tiny model: it runs, tells rates, leaves no files, and the planner then speaks of what was measured."""

import tempfile
from pathlib import Path

import pytest

from hausgeist.engines.llamacpp.providers import provider
from hausgeist.engines.specimen import ModelShape
from hausgeist.planner.memory import Start
from hausgeist.planner.speed import host_rates, speed
from hausgeist.serving.sizing import calibrating, local
from hausgeist.serving.sizing.subjects import Subjects
from hausgeist.settings import load_settings

TINY = ModelShape(architecture="qwen3", layers=4, width=256, inner=768, heads=4, kv_heads=2, head=64, vocabulary=1000, context=4096, rope_base=1e6)


async def test_a_small_model_tells_how_fast_this_machine_is() -> None:
    with tempfile.TemporaryDirectory(prefix="hg-") as folder:
        settings = load_settings(home=Path(folder))
        there = local.look_around(settings, measuring=False)
        engine = provider(settings)
        if there.group is not None:
            pytest.skip("has a card")
        place = local.conditions(engine, there)
        found = await calibrating.measured(settings.home, engine, host_rates(there.host), place, shape=TINY, rounds=2)
        assert not list((settings.home / "cache").iterdir())
        assert found.calibration.host is not None
        assert all(1 < rate < 1e5 for rate in (*found.generated.values(), *found.prompted.values()))
        # As void as it may be on a busy machine: what is kept is what is used.
        kept = local.calibration(settings)
        assert (kept is None) == found.calibration.void
        calibrating.keep(settings.home, calibrating.Calibrated(
            calibration=calibrating.Calibration(host=found.calibration.host, spread=0.05), place=place, generated=found.generated,
            prompted=found.prompted, at=found.at,
        ))  # fmt: skip
        subject = Subjects(_none, lambda: []).find("qwen3:0.6b")
        start = Start(context=1024, slots=1, batch=128, micro_batch=128)
        told = speed(subject.header, start, there, gpu_layers=0, filled=128, calibration=local.calibration(settings))
        assert told.basis == "measured here"
        assert told.generate_spread == 0.05


def _none(name: str):
    from hausgeist.errors import ModelNotFound

    raise ModelNotFound(name)
