"""Plans on the terminal: the advice first, then memory as a bar, speed, context and money. Readable in black and white, and on narrow screens."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from hausgeist.cli.console import Tone, hint, is_terminal, paint, say, size, table
from hausgeist.cli.planning.words import BASES, FITS, euros, grams, held, number, rate, reserved, seconds, taken, watt_hours
from hausgeist.cli.terminal import one_line

if TYPE_CHECKING:
    from hausgeist.planner.accuracy import Accuracy, Spread
    from hausgeist.serving.sizing import Answer, Choice, Sheet

__all__ = ["memory_bar", "print_accuracy", "print_answer", "width"]

_TONES: Final[Mapping[str, Tone]] = {"wholly": "good", "offload": "careful", "no": "bad"}
_GLYPHS: Final = {
    "weights": "█", "repack": "▓", "KV cache": "▒", "compute": "░", "output": "▪", "draft": "▚", "prompt cache": "▤", "overhead": "■",
}  # fmt: skip
_LETTERS: Final = {
    "weights": "#", "repack": "=", "KV cache": "+", "compute": "-", "output": "o", "draft": "d", "prompt cache": "p", "overhead": "%",
}  # fmt: skip
"""The same where the terminal has letters only."""
_BOUNDS: Final = {
    "memory": "memory bandwidth is the limit",
    "compute": "computing is the limit",
    "link": "the connection between machine and cards is the limit",
}
_LABEL: Final = 8
_WIDEST: Final = 100
_NARROWEST: Final = 40
_ROOMY: Final = 72
"""Columns from which on all of the table of accuracy is shown."""


def width() -> int:
    """Columns to write in. Into pipes as on a wide terminal."""
    columns = shutil.get_terminal_size().columns if is_terminal(sys.stdout) else _WIDEST
    return max(_NARROWEST, min(_WIDEST, columns))


def print_answer(answer: Answer, *, sources: bool = False) -> None:
    """Whatever was asked. `sources`: and what the figures rest on."""
    columns = width()
    for line in _wrapped(answer.advice, columns):
        say(line, "strong")
    if answer.choices:
        for choice in answer.choices:
            _print_choice(choice, columns)
    elif len(answer.sheets) == 1 and not answer.ranked:
        _print_sheet(answer.sheets[0], columns)
    elif answer.sheets:
        print()
        _print_table(answer.sheets, columns)
    if sources:
        _print_sources([choice.sheet for choice in answer.choices] or answer.sheets)
    for line in answer.hints:
        _hint(line)
    if not sources and (answer.choices or (len(answer.sheets) == 1 and not answer.ranked)):
        _hint("--sources shows what these figures rest on; --html FILE makes a page with charts to pass on")


def _print_sources(sheets: Sequence[Sheet]) -> None:
    figures = dict.fromkeys(figure for sheet in sheets for figure in sheet.plan.assumptions)
    if not figures:
        return
    print()
    rows = [[one.what, f"{one.value:,.6g} {one.unit}", f"{one.date}{' estimate' if one.estimate else ''}".strip(), one.source] for one in figures]
    table(["rests on", "figure", "as of", "source"], rows, right=["figure"], flexible="source")


def memory_bar(parts: Mapping[str, int], capacity: int, columns: int, *, edge: int = 0, plain: bool = False) -> tuple[str, list[str]]:
    """A bar of so many columns, and what its signs mean. What is free is dotted, what is too much goes on behind the limit.

    `edge`: bytes at which the cards end and the machine's own memory begins; 0: there is no such place.
    """
    glyphs, free, wall = (_LETTERS, ".", "|") if plain else (_GLYPHS, "·", "│")
    there = {name: value for name, value in parts.items() if value > 0}
    total = sum(there.values())
    walls = sorted({limit for limit in (edge, capacity if total > capacity else 0) if 0 < limit < max(total, capacity)})
    scale = (columns - len(walls)) / max(total, capacity, 1)
    bar, end = "", 0
    for name, value in there.items():
        end += value
        bar += glyphs.get(name, "?") * max(0, round(end * scale) - len(bar))
    bar = bar[: columns - len(walls)].ljust(columns - len(walls), free)
    for moved, limit in enumerate(walls):
        at = round(limit * scale) + moved
        bar = bar[:at] + wall + bar[at:]
    return bar, [f"{glyphs.get(name, '?')} {name} {size(value)}" for name, value in there.items()]


def _print_sheet(sheet: Sheet, columns: int, *, brief: bool = False) -> None:
    """`brief`: one of several, of which only the difference counts."""
    plan, tone = sheet.plan, _TONES[sheet.plan.placed]
    if not brief:
        print()
    edge = 0 if plan.placed == "wholly" else sheet.cards
    bar, legend = memory_bar(sheet.parts, sheet.capacity, columns - _LABEL - 1, edge=edge, plain=not _unicode())
    print(paint(f"{'memory':<{_LABEL}} ", "quiet") + paint(bar, tone))
    estimate = "" if plan.exact else "; the buffers of this architecture are an estimate"
    method = {"fit": ", by the engine's own fit pass", "measured": ", measured"}.get(plan.method, "")
    _row("", f"{taken(sheet)}: {FITS[plan.placed]}{method}{estimate}", columns, tone)
    _flow(legend, columns)
    if len(sheet.places) > 1 and not brief:
        _flow([f"{place.name} {size(place.used)} of {size(place.capacity)}" for place in sheet.places], columns)
    for line in reserved(plan):
        _row("", line, columns)
    if 0 < plan.gpu_layers < plan.all_layers:
        cards = "cards" if len(plan.target.device_bytes) > 1 else "card"
        _row("", f"{plan.gpu_layers} of {plan.all_layers} layers on the {cards}", columns)
    for label, text in _lines(sheet, brief=brief):
        _row(label, text, columns)
    if sheet.next:
        _hint(sheet.next)


def _lines(sheet: Sheet, *, brief: bool) -> Iterator[tuple[str, str]]:
    """Label and text."""
    plan = sheet.plan
    yield from _speed(sheet)
    slots = f", {number(plan.slots)} requests side by side" if plan.slots > 1 else ""
    most = f"; up to {number(plan.max_context)} fit" if plan.max_context else "; no context fits"
    yield "context", f"{number(plan.wish.tokens)} tokens per request{slots}{most}"
    price, note = plan.target.price_eur, one_line(plan.target.price_note)
    if price and not brief:
        yield "price", f"about {euros(price)}{f': {note}' if note else ''}"
    elif price is None:
        yield "price", f"not known{f': {note}' if note else ''}"
    if (spent := plan.expense) is None:
        return
    if spent.price_known:
        million = f", {euros(spent.eur_per_1m_tokens)} for a million" if spent.eur_per_1m_tokens is not None else ""
        yield "cost", f"{euros(spent.own.eur_per_month)} a month for {number(spent.volume.tokens)} tokens{million}"
    for place, one in enumerate(spent.verdicts[:1]):
        yield "pays?" if not place else "", one.answer
    if brief:
        return
    if len(spent.verdicts) > 1:
        others = [f"{one.alternative.name} ({euros(one.alternative.eur_per_month)}): {'yes' if one.pays else 'no'}" for one in spent.verdicts[1:]]
        yield "", "against " + ", ".join(others)
    here, there = spent.here, spent.data_centre
    waiting = f", {watt_hours(here.active_watt_hours)} of it at work and the rest waiting" if here.watt_hours > 1.05 * here.active_watt_hours else ""
    yield "energy", f"1,000 answers take {watt_hours(here.watt_hours)}{waiting}; {grams(here.gco2)} CO2, {number(here.litres)} l of water"
    yield "", f"in a data centre {watt_hours(there.watt_hours)}, {grams(there.gco2)} CO2, {number(there.litres)} l"


def _speed(sheet: Sheet) -> Iterator[tuple[str, str]]:
    plan = sheet.plan
    if plan.empty is None or plan.full is None:
        return
    begin, end = plan.empty.generate_tokens_per_second, plan.full.generate_tokens_per_second
    if plan.wish.task != "generate":
        yield "speed", f"reads {rate(plan.empty.prompt_tokens_per_second)} tokens/s"
        return
    slower = f", {rate(end)} with the context full" if rate(end) != rate(begin) else ""
    yield "speed", f"writes {rate(begin)} tokens/s{slower}; reads {rate(plan.empty.prompt_tokens_per_second)} tokens/s"
    yield "", f"give or take {plan.empty.generate_spread:.0%}, {BASES[plan.empty.basis]}"
    yield "", f"a prompt that fills the context takes {seconds(plan.full.first_token_seconds)}; {_BOUNDS.get(plan.empty.bound, '')}".rstrip("; ")
    if plan.resumed_seconds is not None:
        known = f"; {number(plan.wish.prompt_cache // plan.cache_per_request)} such are remembered" if plan.wish.prompt_cache else ""
        yield "", f"{seconds(plan.resumed_seconds)} where a conversation of that length goes on{known}"
    yield from _users(sheet)


def _users(sheet: Sheet) -> Iterator[tuple[str, str]]:
    plan, label = sheet.plan, "users"
    if plan.wish.users > 1 and plan.empty is not None and plan.together_seconds is not None:
        each, together = rate(plan.empty.generate_tokens_per_second), rate(plan.empty.total_tokens_per_second)
        turns = f", {number(plan.working)} of them answered side by side" if plan.working < plan.wish.users else ""
        yield label, f"{number(plan.wish.users)} users at once{turns}: {each} tokens/s each, {together} together"
        yield "", f"the last one's first word comes after {seconds(plan.together_seconds)} where all begin at the same moment"
        label = ""
    if (crowd := sheet.crowd) is not None:
        yield label, held(crowd)


def _row(label: str, text: str, columns: int, tone: Tone = "") -> None:
    first, *more = _wrapped(text, columns - _LABEL - 1) or [""]
    print(paint(f"{label:<{_LABEL}} ", "quiet") + paint(first, tone))
    for line in more:
        print(" " * (_LABEL + 1) + paint(line, tone))


def _wrapped(text: str, columns: int) -> list[str]:
    """Names of models keep their hyphens together."""
    return textwrap.wrap(one_line(text), columns, break_on_hyphens=False)


def _hint(text: str) -> None:
    """As wide as the terminal; a command at its end has a line of its own then, to be copied whole."""
    if not is_terminal(sys.stdout) or len(text) <= width():
        hint(text)
        return
    said, command, rest = text.partition(": hausgeist ")
    for line in _wrapped(f"{said}:" if command else said, width()):
        hint(line)
    if command:
        hint(f"  hausgeist {rest}")


def _flow(pieces: Sequence[str], columns: int) -> None:
    """Pieces on as few lines as they need, never broken."""
    line = ""
    for piece in pieces:
        if line and len(line) + len(piece) + 3 > columns - _LABEL - 1:
            print(" " * (_LABEL + 1) + line)
            line = ""
        line += ("   " if line else "") + piece
    if line:
        print(" " * (_LABEL + 1) + line)


def _print_table(sheets: Sequence[Sheet], columns: int) -> None:
    """Side by side: as many columns as there is room for, the last ones dropped first."""
    several = len({sheet.device for sheet in sheets}) > 1
    headings = ["model", "precision", "memory", "", "writes", "reads", "context", "EUR/1M", *(["device"] if several else [])]
    rows = [[*_cells(sheet), *([sheet.device] if several else [])] for sheet in sheets]
    used = [place for place, heading in enumerate(headings) if place < 4 or any(row[place] for row in rows)]
    widths = {place: max(len(headings[place]), *(len(row[place]) for row in rows)) for place in used}
    while len(used) > 4 and is_terminal(sys.stdout) and sum(widths[place] + 2 for place in used) - 2 > columns:
        used.pop()
    cramped = len(used) == 4 and is_terminal(sys.stdout) and sum(widths[place] + 2 for place in used) - 2 > columns
    if cramped and len({row[0] for row in rows}) == len(rows):
        used.remove(1)
    shown = [headings[place] for place in used]
    right = [name for name in ("memory", "writes", "reads", "context", "EUR/1M") if name in shown]
    uses = [sheet.use for sheet in sheets]
    groups = {place: use.capitalize() for place, use in enumerate(uses) if use and (not place or uses[place - 1] != use)}
    table(shown, [[row[place] for place in used] for row in rows], right=right, groups=groups)
    if "writes" in shown:
        _hint("writes, reads: tokens per second; context: the most that fits, in tokens")


def _cells(sheet: Sheet) -> list[str]:
    plan = sheet.plan
    million = plan.expense.eur_per_1m_tokens if plan.expense is not None and plan.target.price_eur else None
    writes = plan.empty is not None and plan.wish.task == "generate"
    return [
        plan.wish.model,
        plan.wish.precision,
        size(plan.parts.total),
        FITS[plan.placed],
        rate(plan.empty.generate_tokens_per_second) if plan.empty is not None and writes else "",
        rate(plan.empty.prompt_tokens_per_second) if plan.empty is not None else "",
        number(plan.max_context) if plan.max_context else "",
        f"{million:,.2f}" if million is not None else "",
    ]


def _print_choice(choice: Choice, columns: int) -> None:
    print()
    say(one_line(choice.title), "accent")
    for reason in choice.reasons:
        _row("", one_line(reason), columns)
    _print_sheet(choice.sheet, columns, brief=True)


def _unicode() -> bool:
    encoding = (getattr(sys.stdout, "encoding", None) or "ascii").lower()
    return encoding.replace("-", "").startswith("utf")


def print_accuracy(report: Accuracy) -> None:
    """All loads on this machine, and how far off both predictions were."""
    if not report.loads:
        _say("no model was loaded on this machine yet: what is predicted is compared with what each load takes")
        return
    rows = [
        [
            one.load.model,
            number(one.load.context),
            str(one.load.slots),
            f"{one.load.filled_share:.0%}",
            size(one.measured) if one.measured else "",
            _error(one.arithmetic),
            _error(one.fit),
        ]
        for one in report.loads
    ]
    headings = ["model", "context", "slots", "filled", "measured", "arithmetic", "fit"]
    if is_terminal(sys.stdout) and width() < _ROOMY:
        headings, rows = [headings[0], *headings[4:]], [[row[0], *row[4:]] for row in rows]
    table(headings, rows, right=headings[1:], flexible="model")
    print()
    for name, arithmetic, fit in (("all", report.arithmetic, report.fit), ("full", report.full_arithmetic, report.full_fit)):
        if arithmetic.loads or fit.loads:
            _say(f"{name:<5} {_spread('arithmetic', arithmetic)}; {_spread('fit pass', fit)}", "strong" if name == "full" else "")
    _hint("errors are of what the model takes; + is: more was predicted. full: of 1 GB or more, and its context was full once")


def _say(text: str, tone: Tone = "") -> None:
    for line in _wrapped(text, width()) if is_terminal(sys.stdout) else [text]:
        say(line, tone)


def _spread(method: str, one: Spread) -> str:
    if one.median is None or one.worst is None:
        return f"{method}: nothing measured"
    return f"{method}: median error {one.median:.2%}, worst {one.worst:+.2%} ({one.worst_model}), {one.loads} loads"


def _error(value: float | None) -> str:
    return "" if value is None else f"{value:+.2%}"
