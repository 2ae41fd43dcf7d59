"""What the planner answers: one plan, several side by side, a ranking, or what to buy. And its JSON, which command and route share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from hausgeist.planner.accuracy import Accuracy
from hausgeist.planner.costs.footprint import Footprint
from hausgeist.planner.costs.money import OwnCost
from hausgeist.planner.costs.prices import Figure
from hausgeist.planner.costs.verdict import Verdict
from hausgeist.planner.crowd import Point
from hausgeist.serving.sizing.sheet import Pace, Sheet
from hausgeist.serving.sizing.ways import Way

__all__ = ["Answer", "Choice"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Something to buy, and why."""

    kind: str
    title: str
    reasons: Sequence[str]
    sheet: Sheet
    gpu: str
    """By which a question names the machine."""
    gpus: int
    condition: str
    """new, used"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """`advice`: a sentence first. Sheets are what was asked for, or, `ranked`, what was found, the best first."""

    advice: str
    sheets: Sequence[Sheet] = ()
    choices: Sequence[Choice] = ()
    ranked: bool = False
    hints: Sequence[str] = ()
    """What to do next."""
    about: Sequence[str] = ()
    """Of the hints, those about this machine."""
    accuracy: Accuracy | None = None
    """How true predictions were on this machine."""

    def json(self) -> dict[str, Any]:
        """One model's plan is the object itself; several are an array `plans`, things to buy an array `choices`."""
        told: dict[str, Any] = {"advice": self.advice}
        if self.choices:
            told["choices"] = [_choice(one) for one in self.choices]
        elif len(self.sheets) == 1 and not self.ranked:
            told |= _sheet(self.sheets[0])
        else:
            told["plans"] = [_sheet(sheet) for sheet in self.sheets]
        if self.hints:
            told["hints"] = list(self.hints)
        if self.about:
            told["about"] = list(self.about)
        if self.accuracy is not None:
            told["accuracy"] = self.accuracy.json(loads=False)
        return told


def _choice(one: Choice) -> dict[str, Any]:
    named = {"kind": one.kind, "title": one.title, "reasons": list(one.reasons), "gpu": one.gpu, "gpus": one.gpus, "condition": one.condition}
    return {**named, **_sheet(one.sheet)}


def _sheet(sheet: Sheet) -> dict[str, Any]:
    plan = sheet.plan
    told: dict[str, Any] = {
        **plan.json(),
        "placed": plan.placed,
        "missing_bytes": plan.missing_bytes,
        "host_bytes": plan.host_bytes,
        "device_bytes": list(plan.device_bytes),
        "capacity_bytes": sheet.capacity,
        "places": [asdict(place) for place in sheet.places],
        "all_layers": plan.all_layers,
        "task": plan.wish.task,
        "trained_context": plan.wish.made_for,
        "good": plan.good,
        "exact": plan.exact,
        "says": plan.sentence,
        "next": sheet.next,
        "speeds": [_shortened(pace) for pace in sheet.paces],
        "draft_bytes": plan.parts.draft,
        "prompt_cache_bytes": plan.parts.prompt_cache,
    }
    if plan.empty is not None:
        told |= {
            "limit": plan.empty.bound,
            "generate_spread": plan.empty.generate_spread,
            "prompt_spread": plan.empty.prompt_spread,
            "speed_basis": plan.empty.basis,
            "first_token_seconds": _short(plan.empty.first_token_seconds),
            "generate_tokens_per_second_full": _short(plan.full.generate_tokens_per_second) if plan.full is not None else None,
            "first_token_seconds_together": _short(plan.together_seconds),
            "first_token_seconds_resumed": _short(plan.resumed_seconds),
        }
    if sheet.use:
        told["use"] = sheet.use
    if sheet.needs:
        told["memory_by_context"] = [asdict(one) for one in sheet.needs]
        told["ways"] = [_way(one) for one in sheet.ways]
    if (crowd := sheet.crowd) is not None:
        told |= {"most_users": crowd.most, "most_users_limit": crowd.limit, "by_users": [_shortened(point) for point in crowd.points]}
    if (pages := plan.pages) is not None:
        told |= {
            "tensor_parallel": pages.tensor_parallel,
            "pipeline_parallel": pages.pipeline_parallel,
            "gpu_memory_utilization": pages.utilization,
            "max_num_seqs": pages.sequences,
            "reserved_bytes": list(pages.reserved),
            "kv_cache_tokens": pages.cache_tokens,
            "requests_at_once": pages.most,
        }
    if (spent := plan.expense) is not None:
        told |= {
            "volume_tokens_per_month": round(spent.volume.tokens),
            "eur_per_month": round(spent.own.eur_per_month, 2) if spent.price_known else None,
            "cost": _cost(spent.own),
            "compared": [_verdict(one) for one in spent.verdicts],
            "thousand_answers": {"own": _footprint(spent.here), "data_centre": _footprint(spent.data_centre)},
        }
    return {**told, "assumptions": [_figure(one) for one in plan.assumptions]}


def _verdict(one: Verdict) -> dict[str, Any]:
    return {
        "with": one.alternative.name,
        "pays": one.pays,
        "break_even_months": None if one.break_even_months is None else round(one.break_even_months, 1),
        "eur_per_month": round(one.alternative.eur_per_month, 2),
        "saving_eur_per_month": round(one.saving_eur_per_month, 2),
        "says": one.answer,
        "turns": [{"what": change.what, "now": _short(change.now), "then": _short(change.then), "unit": change.unit} for change in one.changes],
    }


def _cost(own: OwnCost) -> dict[str, Any]:
    """A month. What has been paid by the end of month m is the purchase, once for each beginning of `life_months`, and m times the rest."""
    return {
        "machines": own.machines,
        "purchase_eur": round(own.purchase_eur, 2),
        "life_months": round(own.life_months, 1),
        "hardware_eur_per_month": round(own.hardware_eur, 2),
        "electricity_eur_per_month": round(own.electricity_eur, 2),
        "upkeep_eur_per_month": round(own.upkeep_eur, 2),
        "kwh_per_month": _short(own.kwh_per_month),
        "busy_hours_per_month": _short(own.busy_hours),
    }


def _way(one: Way) -> dict[str, Any]:
    told = asdict(one) | {"generate_tokens_per_second": _short(one.generate_tokens_per_second), "price_eur": _short(one.price_eur)}
    return {name: value for name, value in told.items() if value not in ("", None)}


def _shortened(one: Pace | Point) -> dict[str, Any]:
    return {name: _short(value) if isinstance(value, float) else value for name, value in asdict(one).items()}


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")


def _footprint(one: Footprint) -> dict[str, float]:
    return {
        "watt_hours": round(one.watt_hours, 2),
        "active_watt_hours": round(one.active_watt_hours, 2),
        "gco2": round(one.gco2, 2),
        "litres": round(one.litres, 3),
    }


def _figure(one: Figure) -> dict[str, Any]:
    return {name: value for name, value in asdict(one).items() if value not in ("", False)}
