"""Plans as a page that can be mailed: one file with its charts in it, which loads nothing and runs nothing.

For people who decide, not only for those who run it: what it means comes first, each assumption with its source last.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from html import escape
from statistics import median
from typing import TYPE_CHECKING, Final

from hausgeist.cli.console import size
from hausgeist.cli.planning import charts
from hausgeist.cli.planning.style import STYLE
from hausgeist.cli.planning.words import BASES, FITS, LIMITS, euros, held, months, number, rate, reserved, taken, tokens

if TYPE_CHECKING:
    from hausgeist.planner.accuracy import Accuracy, Comparison, Method, Spread
    from hausgeist.planner.costs.prices import Figure
    from hausgeist.planner.costs.verdict import Verdict
    from hausgeist.serving.sizing import Answer, Pace, Sheet

__all__ = ["accuracy_report", "report", "truth"]

_TONES: Final = {"wholly": "good", "offload": "careful", "no": "bad"}
_PARTS: Final = {
    "weights": ("weights", "the model itself"),
    "repack": ("repack", "copies of weights in an order that suits the processor"),
    "KV cache": ("cache", "what the model remembers of the text so far; grows with context and users"),
    "compute": ("compute", "intermediate results"),
    "output": ("output", "the scores of the next word"),
    "draft": ("draft", "the small model that guesses ahead"),
    "prompt cache": ("remembered", "beginnings of conversations, kept to be taken up again"),
    "overhead": ("overhead", "the program, pictures, saved states"),
}
"""Part -> its class, which is its colour, and what it is."""
_SERIES: Final = 8
_COSTED: Final = 3
"""Machines whose costs have a chart of their own."""
_DOTS: Final = 100
"""Loads that are drawn."""
_FIRST: Final = "<p>What a load takes is measured after each answer. Run a model, <code>hausgeist run</code>, ask it something, and come back.</p>"
_LONGEST: Final = 60
"""Letters of an address that are shown."""
_URL: Final = re.compile(r"https?://[^\s,;)<>\"']+")


def report(answer: Answer, *, date: str, version: str) -> str:
    """The page. `date` as it is to be printed."""
    sheets = [choice.sheet for choice in answer.choices] or list(answer.sheets)
    title = sheets[0].title if len(sheets) == 1 else "Models and machines"
    body = "\n".join(part for part in (*_body(sheets, answer), _assumptions(sheets)) if part)
    foot = "Sizes are binary: 1 GiB has 1,073,741,824 bytes. <code>hausgeist plan --accuracy</code> compares predictions with what loads really take."
    return _document(f"{title}: what it takes", _kicker(sheets), answer.advice, body, foot, date=date, version=version)


def _document(title: str, kicker: str, heading: str, body: str, foot: str, *, date: str, version: str) -> str:
    """The page around its `body`; that and `foot` are HTML, the others text."""
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}"><meta name="referrer" content="no-referrer">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n<body><main>\n"
        f'<header><p class="kicker">{escape(kicker)}</p><h1>{escape(heading)}</h1></header>\n{body}\n'
        f"<footer>Worked out by Hausgeist {escape(version)} on {escape(date)}, where it was asked; nothing was sent anywhere. {foot}"
        "</footer>\n</main></body></html>\n"
    )


def _kicker(sheets: Sequence[Sheet]) -> str:
    models = " · ".join(list(dict.fromkeys(sheet.title for sheet in sheets))[:4])
    devices = " · ".join(list(dict.fromkeys(sheet.device for sheet in sheets))[:4])
    return f"{models} on {devices}" if sheets else ""


def _body(sheets: Sequence[Sheet], answer: Answer) -> list[str]:
    if not sheets:
        return []
    if len(sheets) == 1 and not answer.choices:
        return [_tiles(sheets[0]), _memory(sheets, known=answer.accuracy), _speed(sheets), _users(sheets), _cost(sheets[0]), _energy(sheets[0])]
    chosen = [_choice(choice.title, choice.reasons, choice.sheet) for choice in answer.choices]
    drawn = sheets[:_SERIES]
    # Of several models on one machine the costs are hardly different.
    costed = list({sheet.device: sheet for sheet in reversed(drawn) if sheet.verdicts and sheet.plan.target.price_eur}.values())[::-1][:_COSTED]
    return [
        _comparison(sheets),
        *chosen,
        _memory(drawn, left_out=len(sheets) - len(drawn), known=answer.accuracy),
        _speed(drawn),
        _users(drawn),
        *(_cost(sheet, named=True) for sheet in costed),
        _energy(drawn[0]),
    ]


def _tiles(sheet: Sheet) -> str:
    plan = sheet.plan
    pairs: list[tuple[str, str, str]] = [(FITS[plan.placed], taken(sheet), _TONES[plan.placed])]
    if plan.empty is not None and plan.full is not None:
        users = f", for each of {number(plan.working)} users at once" if plan.working > 1 else ""
        if plan.wish.task == "generate":
            pairs.append((f"{rate(plan.empty.generate_tokens_per_second)} tokens/s", f"writing{users}", ""))
        pairs.append((f"{rate(plan.empty.prompt_tokens_per_second)} tokens/s", "reading", ""))
    if (crowd := sheet.crowd) is not None:
        pace = f"at {number(crowd.rate)} tokens/s{' each' if crowd.most > 1 else ''}; {LIMITS[crowd.limit]}"
        pairs.append((f"{number(crowd.most)} user{'s' if crowd.most != 1 else ''} at once", pace, "" if crowd.most else "careful"))
    if plan.max_context:
        pairs.append((f"{number(plan.max_context)} tokens", "of context fit, for each request", ""))
    if plan.target.price_eur:
        pairs.append((euros(plan.target.price_eur), plan.target.price_note or "to buy", ""))
    if (spent := plan.expense) is not None and spent.eur_per_1m_tokens is not None:
        pairs.append((euros(spent.eur_per_1m_tokens), "for a million tokens", ""))
    if sheet.verdict is not None and plan.target.price_eur:
        after = sheet.verdict.break_even_months
        against = f"against {sheet.verdict.alternative.name.rpartition('/')[2]}"
        paid = (months(after), f"until it has paid for itself, {against}", "good") if after is not None else None
        pairs.append(paid or ("never", f"pays for itself, {against}", "careful"))
    items = "".join(f'<li><b class="{tone}">{escape(value)}</b><span>{escape(name)}</span></li>' for value, name, tone in pairs)
    return f'<ul class="tiles">{items}</ul>'


def _memory(sheets: Sequence[Sheet], *, left_out: int = 0, known: Accuracy | None = None) -> str:
    only = sheets[0] if len(sheets) == 1 else None
    rows = []
    for sheet in sheets:
        parts = [charts.Part(name, float(value), _PARTS[name][0]) for name, value in sheet.parts.items() if value > 0]
        note = f"{taken(sheet)}: {FITS[sheet.plan.placed]}"
        rows.append(charts.Bar(sheet.device if only else _named(sheet, sheets), parts, float(sheet.capacity), note))
    legend = "".join(
        f'<li title="{escape(meaning, quote=True)}"><i class="{kind}"></i>{escape(name)}{f" <b>{size(only.parts[name])}</b>" if only else ""}</li>'
        for name, (kind, meaning) in _PARTS.items()
        if any(sheet.parts[name] for sheet in sheets)
    )
    places = ""
    if only is not None and len(only.places) > 1:
        cells = "".join(f"<tr><td>{escape(one.name)}</td>{_right(size(one.used), size(one.capacity))}</tr>" for one in only.places)
        places = (
            f'<div class="scroll" tabindex="0"><table><tr><th>where</th><th class="n">taken</th><th class="n">there</th></tr>{cells}</table></div>'
        )
    told = "".join(f'<p class="soft small">{escape(line)}.</p>' for line in reserved(only.plan)) if only is not None else ""
    note = told if all(sheet.plan.exact for sheet in sheets) else f'{told}<p class="soft small">Buffers of an architecture here are an estimate.</p>'
    if known is not None and (truly := truth(known, where="Predicted and measured on the machine where this was asked")):
        note += f'<p class="soft small">{escape(truly)}</p>'
    lead = "The frame is the memory that is there; what goes past it does not fit."
    lead += f" Drawn are the first {len(sheets)} of {len(sheets) + left_out}." if left_out else ""
    bars = _drawn(lambda width: charts.bars(rows, title="Memory by part", show=size, width=width))
    return _section("Memory", lead, f'{bars}<ul class="legend">{legend}</ul>{places}{note}')


def _named(sheet: Sheet, among: Sequence[Sheet]) -> str:
    models, devices = {one.title for one in among}, {one.device for one in among}
    if len(devices) == 1:
        return sheet.title
    return sheet.device if len(models) == 1 else f"{sheet.title} on {sheet.device}"


def _speed(sheets: Sequence[Sheet]) -> str:
    drawn = [(place, sheet) for place, sheet in enumerate(sheets) if sheet.paces and sheet.plan.wish.task == "generate"]
    if not drawn:
        return ""
    alone = len(sheets) == 1

    def chart(name: str, value: Callable[[Pace], float], show: Callable[[float], str]) -> str:
        series = [
            charts.Line("" if alone else _named(sheet, sheets), [(float(pace.context), value(pace)) for pace in sheet.paces], f"s{place % _SERIES}")
            for place, sheet in drawn
        ]
        most = max(x for line in series for x, _ in line.points)
        doubled = [float(2**power) for power in range(8, 25) if 2**power <= most]
        asked = sheets[0].plan.wish.tokens
        marks = [charts.Mark(float(asked), f"asked for: {tokens(asked)}")]
        return _drawn(
            lambda width: charts.lines(
                series, title="Speed", x_name="tokens in the context", y_name=name, x_show=tokens, y_show=show,
                x_scale="log", x_ticks=doubled, marks=marks, height=250.0, width=width,
            )
        )  # fmt: skip

    users = sheets[0].plan.working
    known = sheets[drawn[0][0]].plan.empty
    off = f" Predicted {BASES[known.basis]}, give or take {known.generate_spread:.0%}." if known is not None else ""
    each = f" With {number(users)} users at once, for each of them." if users > 1 else ""
    each += " Without the draft model, whose gain differs from text to text." if any(sheet.plan.parts.draft for _, sheet in drawn) else ""
    return _section(
        "Speed over context",
        f"The longer the text, the slower each word.{each}{off} From 10 tokens per second on, it writes faster than most people read.",
        chart("writing, tokens per second", lambda pace: pace.generate_tokens_per_second, number)
        + chart("seconds until the first word, all of it new", lambda pace: pace.first_token_seconds, number),
    )


def _users(sheets: Sequence[Sheet]) -> str:
    """One or two points are no curve."""
    drawn = [(place, sheet, sheet.crowd) for place, sheet in enumerate(sheets) if sheet.crowd is not None and len(sheet.crowd.points) > 2]
    if not drawn:
        return ""
    alone = len(sheets) == 1

    series = [
        charts.Line(
            "" if alone else _named(sheet, sheets),
            [(float(point.users), point.generate_tokens_per_second) for point in crowd.points],
            f"s{place % _SERIES}",
        )
        for place, sheet, crowd in drawn
    ]
    most = max(x for line in series for x, _ in line.points)
    asked, last = float(sheets[0].plan.wish.users), float(drawn[0][2].most)
    marks = [charts.Mark(asked, f"asked for: {number(asked)}")] if asked > 1 else []
    marks += [charts.Mark(last, f"up to {number(last)}")] if alone and last > 1 and last != asked else []
    chart = _drawn(
        lambda width: charts.lines(
            series, title="Users at once", x_name="users at once", y_name="writing, tokens per second for each", x_show=number, y_show=number,
            x_scale="log", x_ticks=[float(2**power) for power in range(13) if 2**power <= most], marks=marks, height=250.0, width=width,
        )
    )  # fmt: skip
    said = held(drawn[0][2])
    return _section(
        "How many at once",
        f"{f'{said[:1].upper()}{said[1:]}. ' if alone else ''}Many share the reading of the model, so that together they get more than one alone. "
        "Each has room for all of its context.",
        chart,
    )


def _cost(sheet: Sheet, *, named: bool = False) -> str:
    plan, curves = sheet.plan, sheet.curves()
    if plan.expense is None or not curves:
        return ""
    first, points = curves[0]
    series = [charts.Line("this machine", [(float(one.month), one.own_eur) for one in points], "s0")]
    for place, (verdict, path) in enumerate(curves):
        name = verdict.alternative.name.rpartition("/")[2].removeprefix("subscription ")[:24]
        series.append(charts.Line(name, [(float(one.month), one.alternative_eur) for one in path], f"s{place % (_SERIES - 1) + 1}", dashed=True))
    paid = first.break_even_months
    chart = _drawn(
        lambda width: charts.lines(
            series, title="What has been paid by the end of each month", x_name="months", y_name="EUR, all that was paid until then",
            x_show=number, y_show=lambda value: f"{value:,.0f}", x_ticks=[float(month) for month in range(0, len(points), 12)],
            marks=[charts.Mark(paid, f"paid back after {months(paid)}")] if paid else [], width=width,
        )
    )  # fmt: skip
    own = plan.expense.own
    rows = [
        ("purchase, spread over its years", own.hardware_eur), ("electricity", own.electricity_eur), ("upkeep", own.upkeep_eur),
        ("this machine in all", own.eur_per_month), *((verdict.alternative.name, verdict.alternative.eur_per_month) for verdict, _ in curves),
    ]  # fmt: skip
    cells = "".join(f"<tr><td>{escape(name)}</td>{_right(euros(value))}</tr>" for name, value in rows)
    head = f'<tr><th>a month of {number(own.tokens)} tokens</th><th class="n">EUR</th></tr>'
    answers = "".join(_answer(verdict, strong=place == 0) for place, (verdict, _) in enumerate(curves))
    again = f"Every {number(own.life_months)} months the machine is bought anew." if own.life_months < len(points) - 1 else ""
    title = f"Does it pay? {sheet.title} on {sheet.device}" if named else "Does it pay?"
    return _section(
        title, "", f'{answers}{chart}<p class="soft small">{again}</p><div class="scroll" tabindex="0"><table>{head}{cells}</table></div>'
    )


def _answer(verdict: Verdict, *, strong: bool) -> str:
    text = escape(verdict.answer)
    tone = "good" if verdict.pays else "careful"
    return f'<p class="{tone}"><strong>{text}</strong></p>' if strong else f'<p class="soft small">{text}</p>'


def _energy(sheet: Sheet) -> str:
    spent = sheet.plan.expense
    if spent is None:
        return ""
    cells = "".join(
        f"<tr><td>{escape(name)}</td>{_right(number(one.watt_hours), number(one.active_watt_hours), number(one.gco2), number(one.litres))}</tr>"
        for name, one in ((sheet.device, spent.here), ("a data centre", spent.data_centre))
    )
    names = ("Wh", "of these at work", "g CO2", "litres of water")
    columns = "".join(f'<th class="n">{name}</th>' for name in names)
    head = f"<tr><th>a thousand answers</th>{columns}</tr>"
    lead = "What running takes. Making the machines and training the model are counted on neither side."
    return _section("Electricity, carbon, water", lead, f'<div class="scroll" tabindex="0"><table>{head}{cells}</table></div>')


def _comparison(sheets: Sequence[Sheet]) -> str:
    several = len({sheet.device for sheet in sheets}) > 1
    priced = any(sheet.plan.target.price_eur for sheet in sheets)
    names = ["writes, tokens/s", "reads, tokens/s", "most context", *(["price", "EUR for 1M tokens"] if priced else [])]
    head = (
        f'<tr><th>model</th>{"<th>on</th>" if several else ""}<th class="n">memory</th><th></th>'
        + "".join(f'<th class="n">{name}</th>' for name in names)
        + "</tr>"
    )
    rows = "".join(_compared(sheet, several=several, priced=priced) for sheet in sheets)
    return _section("Side by side", "", f'<div class="scroll" tabindex="0"><table>{head}{rows}</table></div>')


def _compared(sheet: Sheet, *, several: bool, priced: bool) -> str:
    plan = sheet.plan
    million = plan.expense.eur_per_1m_tokens if plan.expense is not None else None
    cells = [
        rate(plan.empty.generate_tokens_per_second) if plan.empty else "",
        rate(plan.empty.prompt_tokens_per_second) if plan.empty else "",
        number(plan.max_context) if plan.max_context else "",
    ]
    if priced:
        cells += [euros(plan.target.price_eur) if plan.target.price_eur else "", f"{million:,.2f}" if million is not None else ""]
    device = f'<td class="device">{escape(sheet.device)}</td>' if several else ""
    fits = f'<td class="{_TONES[plan.placed]}">{FITS[plan.placed]}</td>'
    return f'<tr><td class="model">{escape(sheet.title)}</td>{device}{_right(size(plan.parts.total))}{fits}{_right(*cells)}</tr>'


def _choice(title: str, reasons: Sequence[str], sheet: Sheet) -> str:
    told = "".join(f"<li>{escape(reason)}</li>" for reason in reasons)
    price = f", about {euros(sheet.plan.target.price_eur)}" if sheet.plan.target.price_eur else ""
    return _section(title, f"{sheet.title} on {sheet.device}{price}", f'<ul class="plain">{told}</ul>')


def _assumptions(sheets: Sequence[Sheet]) -> str:
    figures = list(dict.fromkeys(figure for sheet in sheets for figure in sheet.plan.assumptions))
    if not figures:
        return ""
    head = '<tr><th>what</th><th class="n">figure</th><th>as of</th><th>from</th></tr>'
    lead = "What the figures above rest on. Your own go into prices.toml in Hausgeist's folder."
    alike: dict[Figure, list[float]] = {}
    for one in figures:
        alike.setdefault(replace(one, value=0.0), []).append(one.value)
    rows = "".join(_figure(one, values) for one, values in alike.items())
    return _section("Assumptions and sources", lead, f'<table class="sources">{head}{rows}</table>')


def _figure(one: Figure, values: Sequence[float]) -> str:
    estimate = ' <span class="estimate">estimate</span>' if one.estimate else ""
    note = f'<br><span class="soft">{_linked(one.note)}</span>' if one.note else ""
    ends = [f"{value:,.6g}" if abs(value) < 1e6 else f"{value:,.0f}" for value in dict.fromkeys((min(values), max(values)))]
    return (
        f'<tr><td>{escape(one.what)}{estimate}{note}</td><td class="n">{" to ".join(ends)} {escape(one.unit)}</td>'
        f'<td class="date">{escape(one.date)}</td><td class="wide">{_linked(one.source)}</td></tr>'
    )


def _drawn(draw: Callable[[float], str]) -> str:
    """A chart twice, of which the page shows the one that suits the screen."""
    return f'<div class="broad">{draw(charts.BROAD)}</div><div class="slim">{draw(charts.SLIM)}</div>'


def _linked(text: str) -> str:
    """Addresses become links; the rest is text."""
    found, end = [], 0
    for match in _URL.finditer(text):
        address = match[0].rstrip(".")
        found.append(escape(text[end : match.start()]))
        found.append(f'<a rel="noreferrer" href="{escape(address, quote=True)}">{escape(_short(address))}</a>')
        end = match.start() + len(address)
    return "".join([*found, escape(text[end:])])


def _short(address: str) -> str:
    text = address.partition("://")[2].removeprefix("www.")
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _right(*cells: str) -> str:
    return "".join(f'<td class="n">{escape(cell)}</td>' for cell in cells)


def _section(title: str, lead: str, body: str) -> str:
    said = f'<p class="soft">{escape(lead)}</p>' if lead else ""
    return f"<section><h2>{escape(title)}</h2>{said}{body}</section>"


# --- was it true? ---


def truth(known: Accuracy, *, where: str = "On this machine") -> str:
    """What came of predictions here, in a sentence; nothing where nothing was measured."""
    told = [f"{_size(one.median)} by {name}" for name, one in _spreads(known) if one.median is not None]
    if not told:
        return ""
    return f"{where}: {_counted(max(one.loads for _, one in _spreads(known)))}, median error {', '.join(told)}."


def accuracy_report(known: Accuracy, *, date: str, version: str) -> str:
    """The page of all loads on this machine: what was predicted of each, and what it took."""
    compared = [one for one in known.loads if one.measured]
    heading = truth(known) or "No model was measured on this machine yet."
    parts = [
        _error_tiles(known),
        _errors(compared),
        _loads(known.loads),
        "" if compared else _section("How to go on", "", _FIRST),
    ]
    foot = "Errors are of what the model takes, without the process around it; + is: more was predicted. "
    foot += "Sizes are binary: 1 GiB has 1,073,741,824 bytes."
    body = "\n".join(part for part in parts if part)
    return _document("Was it true?", "Memory: predicted and measured, on this machine", heading, body, foot, date=date, version=version)


def _spreads(known: Accuracy, *, full: bool = False) -> tuple[tuple[str, Spread], tuple[str, Spread]]:
    return ("arithmetic", known.spread("arithmetic", full=full)), ("the engine's fit pass", known.spread("fit", full=full))


def _error_tiles(known: Accuracy) -> str:
    pairs = []
    for full, which in ((False, ""), (True, " of 1 GB and more whose context was full")):
        for name, one in _spreads(known, full=full):
            if one.median is not None and one.worst is not None:
                pairs.append((_size(one.median), f"{name}, of {_counted(one.loads)}{which}; worst {_signed(one.worst)} ({one.worst_model})"))
    items = "".join(f"<li><b>{escape(value)}</b><span>{escape(name)}</span></li>" for value, name in pairs)
    return f'<ul class="tiles">{items}</ul>' if items else ""


def _errors(compared: Sequence[Comparison]) -> str:
    drawn = compared[:_DOTS]

    def row(name: str, method: Method, tone: str) -> charts.Dots:
        some = [(one, error) for one in drawn if (error := one.error(method)) is not None]
        sizes = [abs(error) for _, error in some]
        note = f"{_counted(len(some))}, median {_size(median(sizes))}" if some else ""
        return charts.Dots(name, [charts.Dot(error, _named_load(one), not one.full) for one, error in some], tone, note)

    rows = [row("arithmetic", "arithmetic", "s0"), row("the engine's fit pass", "fit", "s1")]
    rows = [one for one in rows if one.dots]
    if not rows:
        return ""
    lead = "Each dot is a load; filled ones took 1 GB or more and had their context full once. Left of the line less was predicted than it took."
    lead += " At the ends of the axis lies what is that far off or further."
    lead += f" Drawn are the last {_DOTS} of {len(compared)}." if len(compared) > _DOTS else ""
    return _section("Errors", lead, _drawn(lambda width: charts.dots(rows, title="Errors of predictions of memory", show=_signed, width=width)))


def _named_load(one: Comparison) -> str:
    return f"{one.load.model}, {number(one.load.context)} x {one.load.slots}"


def _loads(compared: Sequence[Comparison]) -> str:
    if not compared:
        return ""
    names = ("arithmetic", "fit&nbsp;pass", "measured", "context", "slots", "filled")
    columns = "".join(f'<th class="n">{name}</th>' for name in names)
    head = f"<tr><th>model</th>{columns}</tr>"
    rows = "".join(f'<tr><td class="model">{escape(one.load.model)}</td>{_right(*_load(one))}</tr>' for one in compared)
    lead = "The last one first. Without figures: it ended before it was measured."
    return _section("All loads", lead, f'<div class="scroll" tabindex="0"><table>{head}{rows}</table></div>')


def _load(one: Comparison) -> tuple[str, ...]:
    load = one.load
    errors = ("" if error is None else _signed(error) for error in (one.arithmetic, one.fit))
    return *errors, size(one.measured) if one.measured else "", number(load.context), str(load.slots), f"{load.filled_share:.0%}"


def _counted(loads: int) -> str:
    return f"{loads} load{'s' if loads != 1 else ''}"


def _size(error: float) -> str:
    return f"{abs(error):.1%}"


def _signed(error: float) -> str:
    """With a sign, and as many digits as say something."""
    if abs(error) < 0.0005:
        return "0%"
    return f"{error:+.0%}" if abs(error) >= 0.095 else f"{error:+.1%}"
