"""What electricity, carbon, water, clouds, subscriptions, rented cards and, by the user's word, devices cost: values, and how their TOML is read.

The text that comes with the program is `packaged()`; `decode` makes values of it, with a text of the user's own laid over it. What follows from
the figures is `money`'s.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cache, lru_cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Final, Literal, get_args

from hausgeist.errors import InvalidRequest, shown
from hausgeist.planner.devices.naming import key as device_key

__all__ = ["CONSUMERS", "CloudModel", "Condition", "Consumer", "Figure", "Prices", "decode", "packaged"]

Consumer = Literal["household", "small_business", "business"]
CONSUMERS: Final[tuple[Consumer, ...]] = get_args(Consumer)
Condition = Literal["launch", "new", "used"]
"""Of a device that is bought: as its maker suggested once, in shops, second-hand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A number that a calculation rests on, as a page may print it."""

    value: float
    unit: str
    what: str = ""
    """What it is the figure of, in a few words."""
    date: str = ""
    """As the source dates it: a day, a month, a half-year as in Eurostat (2025-S1), a year. Empty: not said."""
    source: str = ""
    estimate: bool = False
    """Nobody published it in this form."""
    note: str = ""
    before_tax: bool = False
    """A price to which value added tax comes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudModel:
    """Prices of a model in the cloud, EUR for a million tokens."""

    name: str
    """Provider, a slash, the model's name there."""
    input: Figure
    cached_input: Figure
    """Input that the provider still has from before; as dear as other input where no price of its own is known."""
    output: Figure


@dataclass(frozen=True, slots=True)
class _Kind:
    """What a record of a section holds: numbers with the least and the largest that can be true, and the unit of the first."""

    numbers: Mapping[str, tuple[float, float]]
    unit: str = ""
    optional: frozenset[str] = frozenset()
    texts: frozenset[str] = frozenset()
    """Keys for text beside date, source and note, which every record may have."""


_PRICE: Final = frozenset({"currency"})
_TOKENS: Final = (0.0, 10_000.0)
_KINDS: Final[Mapping[str, _Kind]] = MappingProxyType(
    {
        "sources": _Kind({}, texts=frozenset({"name", "url"})),
        "countries": _Kind({}, texts=frozenset({"name", "also"})),
        "exchange": _Kind({"per_euro": (1e-6, 1e9)}, "for 1 EUR"),
        **{f"electricity.{consumer}": _Kind({"per_kwh": (0.0, 1e6)}, "kWh", texts=_PRICE) for consumer in CONSUMERS},
        "carbon": _Kind({"gco2_per_kwh": (0.0, 2000.0)}, "gCO2/kWh"),
        "water": _Kind({"litres_per_kwh": (0.0, 200.0)}, "l/kWh"),
        "generation": _Kind({"litres_per_kwh": (0.0, 200.0)}, "l/kWh"),
        "wue": _Kind({"litres_per_kwh": (0.0, 20.0)}, "l/kWh"),
        "pue": _Kind({"factor": (1.0, 5.0)}, "kWh/kWh"),
        "answer": _Kind({"watt_hours": (0.0, 1000.0), "pue": (1.0, 5.0)}, "Wh", optional=frozenset({"pue"})),
        "assumptions": _Kind({"value": (0.0, 1e9)}, texts=frozenset({"unit"})),
        "cloud": _Kind({"input": _TOKENS, "cached_input": _TOKENS, "output": _TOKENS}, optional=frozenset({"cached_input"}), texts=_PRICE),
        "subscriptions": _Kind({"per_month": (0.0, 1e6)}, "month", texts=_PRICE),
        "rented": _Kind({"per_hour": (0.0, 1e5)}, "h", texts=_PRICE),
        "devices": _Kind({"new": (0.0, 1e7), "used": (0.0, 1e7)}, optional=frozenset({"new", "used"}), texts=_PRICE),
    }
)
_EVERYWHERE: Final = frozenset({"date", "source", "note"})
_DEAREST: Final = 5.0
"""EUR/kWh; a price above is one in cents."""
_FIXED: Final = frozenset({"assumptions"})
"""Sections to which a user cannot add: nothing would read it."""

_Record = Mapping[str, Any]
_Table = Mapping[str, Mapping[str, _Record]]


@dataclass(frozen=True, kw_only=True)
class Prices:
    """All figures, by section and name, as they were written. The methods answer in euros, and name what is near when a name is not known."""

    table: _Table

    def names(self, section: str) -> tuple[str, ...]:
        """What a section knows: `cloud`, `subscriptions`, `rented`, `countries`, ..."""
        return tuple(self.table.get(section, ()))

    def country(self, asked: str) -> str:
        """The code of a country by code or one of its names, in any case: DE, de, Germany, Deutschland."""
        known = self.table["countries"]
        if (code := asked.strip().upper()) in known:
            return code
        by_name = {name.casefold(): code for code, record in known.items() for name in (record["name"], *record.get("also", "").split(", ")) if name}
        if (name := asked.strip().casefold()) in by_name:
            return by_name[name]
        near = dict.fromkeys(str(known[by_name[one]]["name"]) for one in get_close_matches(name, by_name, n=3, cutoff=0.6))
        raise InvalidRequest(
            f"No figures for the country '{shown(asked)}'.{_meant(near)} Codes are as in 'DE', names as in 'Germany'.", param="country"
        )

    def electricity(self, country: str, consumer: Consumer = "household") -> Figure:
        """EUR/kWh. Raises `InvalidRequest` where the country has no figure of this kind, and says which it has."""
        code = self.country(country)
        if consumer not in CONSUMERS:
            raise InvalidRequest(f"No electricity prices for '{shown(consumer)}', only for {', '.join(CONSUMERS)}.", param="consumer")
        if code not in self.table[f"electricity.{consumer}"]:
            there = [one for one in CONSUMERS if code in self.table[f"electricity.{one}"]]
            raise InvalidRequest(
                f"No price of electricity for {code} as {consumer}, but as {' and '.join(there)}." if there else
                f"No price of electricity for {code}: put one into prices.toml, [electricity.{consumer}].", param="consumer"
            )  # fmt: skip
        return self._euros(f"electricity.{consumer}", code, f"electricity, {consumer.replace('_', ' ')}, {code}")

    def carbon(self, country: str) -> Figure:
        """gCO2/kWh, life cycle, of the electricity generated there; the world's mean where the country's is not known."""
        return self._of("carbon", self._there("carbon", country), "carbon of electricity")

    def water(self, country: str) -> Figure:
        """l/kWh that evaporate where electricity is generated; the world's mean where the country's is not known."""
        return self._of("water", self._there("water", country), "water of electricity")

    def pue(self, name: str = "average") -> Figure:
        """Power usage effectiveness: electricity of the whole building for each unit of its machines."""
        return self._of("pue", name, "power usage effectiveness")

    def wue(self, name: str = "us-average") -> Figure:
        """Water usage effectiveness: litres on site for each kWh of the machines."""
        return self._of("wue", name, "water on the site of the data centre")

    def generation(self, name: str = "us-data-centres") -> Figure:
        """l/kWh that evaporate where the electricity of data centres is generated."""
        return self._of("generation", name, "water of the data centre's electricity")

    def answer(self, name: str = "gemini-median") -> Figure:
        """Wh of one answer in a data centre, the building's share included."""
        return self._of("answer", name, "electricity of an answer in a data centre")

    def answer_pue(self, name: str = "gemini-median") -> Figure:
        """The power usage effectiveness that `answer` counts with; the average where none was published."""
        self.answer(name)
        record = self.table["answer"][name]
        if "pue" not in record:
            return self.pue()
        return replace(self.answer(name), value=float(record["pue"]), unit="kWh/kWh", what=f"power usage effectiveness, {name}")

    def assumption(self, name: str) -> Figure:
        """What a calculation takes where nothing else is said: `years_of_use`, `hours_on_per_month`, ..."""
        return replace(self._of("assumptions", name, ""), unit=str(self._record("assumptions", name)["unit"]), what=name.replace("_", " "))

    def cloud(self, name: str) -> CloudModel:
        """A model by provider and name, or by its name alone where only one provider has it."""
        wanted = name.strip()
        if wanted not in self.table["cloud"]:
            alone = [one for one in self.table["cloud"] if wanted.casefold() in (one.casefold(), one.partition("/")[2].casefold())]
            if len(alone) > 1:
                raise InvalidRequest(f"'{shown(name)}' is offered by several: {', '.join(alone)}. Name one of these.", param="model")
            wanted = alone[0] if alone else wanted
        record = self._record("cloud", wanted)
        made = {
            key: self._euros("cloud", wanted, f"{wanted}, {key.replace('_', ' ')}", key=key, per="1M tokens")
            for key in ("input", "cached_input", "output")
            if key in record
        }
        return CloudModel(name=wanted, input=made["input"], cached_input=made.get("cached_input", made["input"]), output=made["output"])

    def subscription(self, name: str) -> Figure:
        """EUR for a person and a month."""
        return self._euros("subscriptions", name, f"subscription {name}")

    def rented(self, name: str) -> Figure:
        """EUR for a rented card and an hour."""
        return self._euros("rented", name, f"rented {name}")

    def device_price(self, name: str, kind: Condition) -> Figure | None:
        """EUR for a device by the user's own word, its name spelled in any way; `None` where there is none of this kind."""
        wanted = device_key(name)
        own = next((one for one in self.table["devices"] if device_key(one) == wanted), None)
        if own is None or kind not in self.table["devices"][own]:
            return None
        return self._euros("devices", own, f"{own}, {kind}", key=kind)

    def euros(self, amount: float, currency: str) -> float:
        """An amount in another currency, in euros."""
        return amount if currency == "EUR" else amount / float(self._record("exchange", currency)["per_euro"])

    def in_euros(self, figure: Figure, currency: str) -> Figure:
        """A figure in another currency, in euros; its source then names the rate."""
        if currency == "EUR":
            return figure
        rate = self._of("exchange", currency, "")
        by = ", ".join(text for text in (rate.source, rate.date) if text)
        source = f"{figure.source}; {figure.value:g} {currency} at {rate.value:g} {currency} for 1 EUR ({by})"
        return replace(figure, value=self.euros(figure.value, currency), source=source)

    def _there(self, section: str, country: str) -> str:
        code = self.country(country)
        return code if code in self.table[section] else "WORLD"

    def _record(self, section: str, name: str) -> _Record:
        records = self.table[section]
        if name not in records:
            raise InvalidRequest(f"No figures for '{shown(name)}' in [{section}].{_meant(_near(name, records))}", param=section)
        return records[name]

    def _of(self, section: str, name: str, what: str, *, key: str = "") -> Figure:
        record = self._record(section, name)
        kind = _KINDS[section]
        return Figure(
            value=float(record[key or next(iter(kind.numbers))]),
            unit=kind.unit,
            what=f"{what}, {name}" if what else name,
            date=str(record.get("date", "")),
            source=self._named(str(record.get("source", ""))),
            estimate=bool(record.get("estimate", False)),
            note=str(record.get("note", "")),
        )

    def _euros(self, section: str, name: str, what: str, *, key: str = "", per: str = "") -> Figure:
        figure = replace(self._of(section, name, "", key=key), what=what)
        per = per or figure.unit
        return self.in_euros(replace(figure, unit=f"EUR/{per}" if per else "EUR"), str(self._record(section, name).get("currency", "EUR")))

    def _named(self, source: str) -> str:
        known = self.table["sources"].get(source)
        return source if known is None else ", ".join(str(known[key]) for key in ("name", "url") if key in known)


@cache
def packaged() -> str:
    """The text of the figures that come with the program."""
    return (files(__package__) / "prices.toml").read_text("utf-8")


@lru_cache(maxsize=8)
def decode(text: str, own: str = "", *, origin: str = "prices.toml") -> Prices:
    """The figures of a text, with the user's own laid over them: figures that `own` names replace or join those of `text`.

    A record of `own` may name only what differs; a figure that it changes is then of its own date and source, `origin` unless it says another.
    Raises `InvalidRequest` that names section and key: text that is not TOML, sections and keys that do not exist, numbers that cannot be true.
    """
    base = _sections(text, "the packaged prices.toml")
    table = {section: dict(base.get(section, {})) for section in _KINDS}
    for section, records in (_sections(own, origin) if own.strip() else {}).items():
        for name, record in records.items():
            before = table[section].get(name)
            if before is None and section in _FIXED:
                raise InvalidRequest(
                    f"{origin}, [{section}]: nothing is called '{shown(name)}' there.{_meant(_near(name, table[section]))}", param=name
                )
            changed = any(key in _KINDS[section].numbers for key in record)
            kept = {key: value for key, value in (before or {}).items() if not changed or key not in (*_EVERYWHERE, "estimate")}
            table[section][name] = {**kept, **({"source": origin} if changed else {}), **record}
    for section, records in table.items():
        for name, record in records.items():
            _complete(section, name, record, table, origin if name not in base.get(section, {}) else "prices.toml")
    return Prices(table=MappingProxyType({section: MappingProxyType(records) for section, records in table.items()}))


def _sections(text: str, origin: str) -> dict[str, dict[str, _Record]]:
    try:
        raw = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InvalidRequest(f"{origin} is not TOML: {error}.") from error
    found: dict[str, dict[str, _Record]] = {}
    for section, records in _flat(raw, origin):
        if section not in _KINDS:
            raise InvalidRequest(f"{origin}: there is no section [{shown(section)}].{_meant(_near(section, _KINDS) or _KINDS)}", param=section)
        for name, record in records.items():
            _check(section, name, record, origin)
        found[section] = records
    return found


def _flat(raw: Mapping[str, Any], origin: str) -> Iterable[tuple[str, dict[str, _Record]]]:
    for section, records in raw.items():
        if not isinstance(records, dict):
            meant = f" A section is written as in [{section}]." if section in _KINDS else _meant(_near(section, _KINDS))
            raise InvalidRequest(f"{origin}: '{shown(section)}' stands outside of any section.{meant}", param=section)
        if section == "electricity":
            for consumer, inner in records.items():
                if not isinstance(inner, dict):
                    raise InvalidRequest(
                        f"{origin}, [electricity]: '{shown(consumer)}' belongs into [electricity.household] or another.", param=consumer
                    )
                yield f"electricity.{consumer}", inner
        else:
            yield section, records


def _check(section: str, name: str, record: Any, origin: str) -> None:
    where = f"{origin}, [{section}], '{shown(name)}'"
    if not isinstance(record, dict):
        raise InvalidRequest(f"{where}: a table is needed, as in {name} = {{ {next(iter(_KINDS[section].numbers), 'name')} = ... }}.", param=name)
    kind = _KINDS[section]
    known = {*kind.numbers, *kind.texts, *(_EVERYWHERE | {"estimate"} if kind.numbers else ())}
    for key, value in record.items():
        if key not in known:
            raise InvalidRequest(f"{where}: there is no key '{shown(key)}'.{_meant(_near(key, known) or sorted(known))}", param=key)
        if key in kind.numbers:
            low, high = kind.numbers[key]
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise InvalidRequest(f"{where}: '{key}' is {shown(repr(value))}; a number is needed.", param=key)
            if not math.isfinite(value) or not low <= value <= high:
                raise InvalidRequest(f"{where}: '{key}' is {value:g}; it lies between {low:g} and {high:g}.", param=key)
        elif key == "estimate":
            if not isinstance(value, bool):
                raise InvalidRequest(f"{where}: 'estimate' is true or false.", param=key)
        elif not isinstance(value, str):
            raise InvalidRequest(f"{where}: '{key}' is {shown(str(value))}; text in quotation marks is needed.", param=key)


def _complete(section: str, name: str, record: _Record, table: _Table, origin: str) -> None:
    kind = _KINDS[section]
    where = f"{origin}, [{section}], '{shown(name)}'"
    missing = [key for key in kind.numbers if key not in record and key not in kind.optional]
    missing += [key for key in ("name", "unit") if key in kind.texts and key not in record]
    if missing:
        raise InvalidRequest(f"{where}: '{missing[0]}' is missing.", param=missing[0])
    if kind.numbers and not any(key in record for key in kind.numbers):
        raise InvalidRequest(f"{where}: {' or '.join(repr(key) for key in kind.numbers)} is missing.", param=section)
    currency = record.get("currency", "EUR")
    if currency != "EUR" and currency not in table["exchange"]:
        raise InvalidRequest(
            f"{where}: no rate for the currency '{shown(str(currency))}'.{_meant(_near(str(currency), table['exchange']))}", param="currency"
        )
    if section.startswith("electricity."):
        euros = record["per_kwh"] / (1.0 if currency == "EUR" else table["exchange"][currency]["per_euro"])
        if euros > _DEAREST:
            raise InvalidRequest(f"{where}: 'per_kwh' is {euros:g} EUR for a kWh; at most {_DEAREST:g} is believed. Is it in cents?", param="per_kwh")
    if (section.startswith("electricity.") or section in ("carbon", "water")) and name not in table["countries"]:
        raise InvalidRequest(
            f"{where}: no country has this code.{_meant(_near(name, table['countries']))} A new one is named in [countries].", param=name
        )


def _near(name: str, known: Iterable[str]) -> list[str]:
    """What looks like it, or else what contains it: 'gpt' is part of 'openai/gpt-5.5'."""
    by_fold, wanted = {one.casefold(): one for one in known}, name.strip().casefold()
    alike = get_close_matches(wanted[:200], by_fold, n=3, cutoff=0.5)
    return [by_fold[one] for one in alike or [one for one in by_fold if len(wanted) > 2 and wanted in one][:3]]


def _meant(near: Iterable[str]) -> str:
    names = list(near)
    return f" Did you mean {', '.join(names[:-1]) + ' or ' if len(names) > 1 else ''}{names[-1]}?" if names else ""
