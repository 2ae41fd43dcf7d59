"""Charts as SVG text: bars of several parts, lines over an axis, dots along one. Colours are classes, which the page around them gives; no
script, nothing fetched.

Every mark carries its figure as a title, which browsers show on touching it; every chart says in words what it shows, for those who do not see it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final, Literal

__all__ = ["BROAD", "SLIM", "Bar", "Dot", "Dots", "Line", "Mark", "Part", "bars", "dots", "lines", "ticks"]

BROAD: Final = 720.0
SLIM: Final = 340.0
"""Widths: on screens and paper, and on phones. Letters are of one size, so a chart is drawn anew and not shrunk."""
_SPOKEN: Final = 6
"""Points of a line that its description names, at most."""
_LETTER: Final = 7.4
"""Width of a letter of the small text, about."""
_BOLD: Final = 0.94
"""Letters of bold text are so much wider."""
_APART: Final = 15.0
"""Between lines of text."""
_PILE: Final = 110.0
"""Height of a pile of dots at most."""


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a bar. `tone` is a class of the page."""

    name: str
    value: float
    tone: str


@dataclass(frozen=True, slots=True)
class Bar:
    """A row: its parts one after the other, and, where there is one, the limit that they should stay below."""

    name: str
    parts: Sequence[Part]
    limit: float | None = None
    note: str = ""
    """Behind the bar: the sum, or what it means."""

    @property
    def total(self) -> float:
        return sum(part.value for part in self.parts)


@dataclass(frozen=True, slots=True)
class Line:
    """Points (x, y) in order of x."""

    name: str
    points: Sequence[tuple[float, float]]
    tone: str
    dashed: bool = False


@dataclass(frozen=True, slots=True)
class Mark:
    """A place on the x axis that the chart is about."""

    x: float
    name: str


@dataclass(frozen=True, slots=True)
class Dot:
    """`hollow`: it says less than others do."""

    x: float
    name: str
    hollow: bool = False


@dataclass(frozen=True, slots=True)
class Dots:
    """A row of them. `note`: what they come to."""

    name: str
    dots: Sequence[Dot]
    tone: str
    note: str = ""


def bars(rows: Sequence[Bar], *, title: str, show: Callable[[float], str], width: float = BROAD) -> str:
    """Horizontal bars on a common scale from nothing."""
    left, right, height, gap, top = 2.0, 2.0, 26.0, 30.0, 6.0
    most = max((max(row.total, row.limit or 0.0) for row in rows), default=0.0) or 1.0
    room = width - left - right
    scale = room / most
    body: list[str] = []
    y = top
    for row in rows:
        y += 16
        body.append(_text(left, y - 5, _cut(row.name, room * _BOLD), "name"))
        if row.note and (len(row.name) + len(row.note) + 3) * _LETTER <= room:
            body.append(_text(width - right, y - 5, row.note, "note", anchor="end"))
        elif row.note:
            y += _APART
            body.append(_text(left, y - 5, _cut(row.note, room), "note"))
        if row.limit is not None:
            body.append(_rect(left, y, row.limit * scale, height, "limit", f"{row.name}: {show(row.limit)} there"))
        x = left
        for part in row.parts:
            long = part.value * scale
            if long > 0:
                body.append(_rect(x, y, max(long - 0.8, 0.4), height, part.tone, f"{part.name}: {show(part.value)}"))
                label = f"{part.name} {show(part.value)}"
                if long > len(label) * _LETTER + 10:
                    body.append(_text(x + 6, y + height / 2 + 4, label, f"inside on-{part.tone}"))
            x += long
        if row.limit is not None:
            body += _edge(row, left, y, height, scale, show)
            y += _APART if row.total > row.limit else 0.0
        y += height + gap - 16
    return _svg(width, y, f"{title}. {' '.join(_told(row, show) for row in rows)}", body)


def _edge(row: Bar, left: float, y: float, height: float, scale: float, show: Callable[[float], str]) -> Iterator[str]:
    """Where the room ends, and what is beyond it."""
    limit = row.limit or 0.0
    edge = left + limit * scale
    over = row.total - limit
    if over > 0:
        yield _rect(edge, y, over * scale, height, "past", "more than there is")
        label = f"{show(limit)} there"
        near_end = edge + len(label) * _LETTER > left + row.total * scale
        yield _text(left + row.total * scale if near_end else edge, y + height + 16, label, "past", anchor="end" if near_end else "start")
    yield f'<line class="edge" x1="{edge:.1f}" x2="{edge:.1f}" y1="{y - 2:.1f}" y2="{y + height + 4:.1f}"/>'


def _told(row: Bar, show: Callable[[float], str]) -> str:
    note = f" ({row.note})" if row.note else ""
    return f"{row.name}{note}: {', '.join(f'{part.name} {show(part.value)}' for part in row.parts)}."


def lines(
    series: Sequence[Line],
    *,
    title: str,
    x_name: str,
    y_name: str,
    x_show: Callable[[float], str],
    y_show: Callable[[float], str],
    x_scale: Literal["linear", "log"] = "linear",
    x_ticks: Sequence[float] = (),
    marks: Sequence[Mark] = (),
    height: float = 300.0,
    width: float = BROAD,
) -> str:
    """Lines from nothing upwards, named at their ends; where names are too long for that, by letters and a list of these below.

    Where x grows by factors, `log`: all x must be above 0 then.
    """
    points = [point for line in series for point in line.points]
    if not points:
        return ""
    least, most = min(x for x, _ in points), max(x for x, _ in points)
    y_ticks = ticks(max(y for _, y in points))
    left = 8 + max(len(y_show(tick)) for tick in y_ticks) * _LETTER
    longest = max(len(line.name) for line in series) * _LETTER
    keys = {line.name: chr(ord("A") + place) for place, line in enumerate(series)} if longest > 0.26 * width else {}
    right = 26.0 if keys else 18 + longest
    frame = _Frame(left, 30.0, width - right, height - 46, least, most, y_ticks[-1], x_scale)
    body = [_text(2, 14, _cut(y_name, width), "axis"), _text(frame.right, height - 4, x_name, "axis", anchor="end")]
    for tick in y_ticks:
        y = frame.y(tick)
        body.append(f'<line class="grid" x1="{frame.left:.1f}" x2="{frame.right:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>')
        body.append(_text(frame.left - 6, y + 4, y_show(tick), "tick", anchor="end"))
    free = 0.0
    for tick in x_ticks or ticks(most):
        half = len(x_show(tick)) * _LETTER / 2
        if least <= tick <= most and frame.x(tick) - half >= free:
            body.append(_text(frame.x(tick), frame.bottom + 17, x_show(tick), "tick", anchor="middle"))
            free = frame.x(tick) + half + _LETTER
    for mark in marks:
        if least <= mark.x <= most:
            x = frame.x(mark.x)
            near_end = x > (frame.left + frame.right) / 2
            body.append(f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{frame.top:.1f}" y2="{frame.bottom:.1f}"/>')
            body.append(_text(x - 6 if near_end else x + 6, frame.top + 11, mark.name, "marked", anchor="end" if near_end else "start"))
    for line in series:
        body += _line(line, frame, x_show, y_show)
    body += _names(series, frame, keys)
    told = " ".join(_described(line, x_show, y_show) for line in series)
    return _svg(width, height, f"{title} ({y_name}; {x_name}). {told}", body) + _keyed(series, keys)


def _described(line: Line, x_show: Callable[[float], str], y_show: Callable[[float], str]) -> str:
    last = len(line.points) - 1
    some = sorted({round(last * step / (_SPOKEN - 1)) for step in range(_SPOKEN)}) if line.points else []
    said = ", ".join(f"{y_show(line.points[place][1])} at {x_show(line.points[place][0])}" for place in some)
    return f"{line.name}: {said}." if line.name else f"{said}."


def _keyed(series: Sequence[Line], keys: Mapping[str, str]) -> str:
    if not keys:
        return ""
    items = "".join(f'<li><b class="{line.tone}">{keys[line.name]}</b> {escape(line.name)}</li>' for line in series)
    return f'<ul class="legend keys">{items}</ul>'


def dots(rows: Sequence[Dots], *, title: str, show: Callable[[float], str], width: float = BROAD) -> str:
    """Values around nothing, each a dot on its row's axis; those that would hide each other are piled up, and what is off the axis lies at its end.

    The axis reaches as far as nine of ten do, so that one that is far off does not press all others together. Piles get no higher than some lines
    of text: dots of a high one overlap.
    """
    values = sorted(abs(dot.x) for row in rows for dot in row.dots)
    if not values:
        return ""
    steps = ticks(max(values[min(len(values) - 1, int(len(values) * 0.9))], 1e-6), 2 if width < BROAD else 4)
    reach, margin, radius, top = steps[-1], 22.0, 4.5, 6.0
    middle, scale = width / 2, (width / 2 - margin) / steps[-1]
    marks = [sign * step for step in steps for sign in ((1,) if not step else (-1, 1))]
    body: list[str] = []
    y = top
    for row in rows:
        piles = _piles([middle + max(-reach, min(reach, dot.x)) * scale for dot in row.dots], 2 * radius + 1)
        y += 16
        body.append(_text(2, y - 5, _cut(row.name, width), "name"))
        if row.note and (len(row.name) + len(row.note) + 3) * _LETTER <= width:
            body.append(_text(width - 2, y - 5, row.note, "note", anchor="end"))
        elif row.note:
            y += _APART
            body.append(_text(2, y - 5, _cut(row.note, width), "note"))
        most = max((level for _, level in piles), default=0)
        step = min(2 * radius + 1, _PILE / (most or 1))
        base = y + most * step + 2 * radius + 9
        body += [_grid(middle + mark * scale, y, base, strong=not mark) for mark in marks]
        for dot, (x, level) in zip(row.dots, piles, strict=True):
            name = escape(f"{dot.name}: {show(dot.x)}")
            kind = f"dot {row.tone}{' hollow' if dot.hollow else ''}"
            cy = base - radius - 2 - level * step
            body.append(f'<circle class="{kind}" cx="{x:.1f}" cy="{cy:.1f}" r="{radius}"><title>{name}</title></circle>')
        y = base + 10
    body += [_text(middle + mark * scale, y + 6, show(mark), "tick", anchor="middle") for mark in marks]
    told = " ".join(f"{row.name}{f' ({row.note})' if row.note else ''}: {_listed(row, show)}." for row in rows)
    return _svg(width, y + 14, f"{title}. {told}", body)


def _piles(places: Sequence[float], apart: float) -> list[tuple[float, int]]:
    """Each place with the lowest level on which it is so far from all others; in the order of the places."""
    taken: list[list[float]] = []
    levels = [0] * len(places)
    for place in sorted(range(len(places)), key=places.__getitem__):
        x = places[place]
        level = next((number for number, row in enumerate(taken) if x - row[-1] >= apart), len(taken))
        if level == len(taken):
            taken.append([])
        taken[level].append(x)
        levels[place] = level
    return list(zip(places, levels, strict=True))


def _grid(x: float, top: float, bottom: float, *, strong: bool) -> str:
    return f'<line class="{"edge" if strong else "grid"}" x1="{x:.1f}" x2="{x:.1f}" y1="{top:.1f}" y2="{bottom:.1f}"/>'


def _listed(row: Dots, show: Callable[[float], str]) -> str:
    """The first of them in words."""
    more = len(row.dots) - _SPOKEN
    return ", ".join(f"{dot.name} {show(dot.x)}" for dot in row.dots[:_SPOKEN]) + (f", and {more} more" if more > 0 else "")


@dataclass(frozen=True, slots=True)
class _Frame:
    """Where values lie: x from `least` to `most`, y from 0 to `high`."""

    left: float
    top: float
    right: float
    bottom: float
    least: float
    most: float
    high: float
    scale: Literal["linear", "log"]

    def x(self, value: float) -> float:
        if self.most <= self.least:
            return (self.left + self.right) / 2
        if self.scale == "log":
            part = math.log(value / self.least) / math.log(self.most / self.least)
        else:
            part = (value - self.least) / (self.most - self.least)
        return self.left + part * (self.right - self.left)

    def y(self, value: float) -> float:
        return self.bottom - (value / self.high if self.high else 0.0) * (self.bottom - self.top)


def _line(line: Line, frame: _Frame, x_show: Callable[[float], str], y_show: Callable[[float], str]) -> Iterator[str]:
    places = [(frame.x(x), frame.y(y)) for x, y in line.points]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    yield f'<polyline class="line {line.tone}{" dashed" if line.dashed else ""}" points="{path}"/>'
    every = max(1, len(places) // 12)
    for number, ((x, y), (value, height)) in enumerate(zip(places, line.points, strict=True)):
        if number % every == 0 or number == len(places) - 1:
            said = escape(f"{line.name}{': ' if line.name else ''}{y_show(height)} at {x_show(value)}")
            yield f'<circle class="dot {line.tone}" cx="{x:.1f}" cy="{y:.1f}" r="3"><title>{said}</title></circle>'


def _names(series: Sequence[Line], frame: _Frame, keys: Mapping[str, str]) -> Iterator[str]:
    """Beside the ends of lines, in their order, moved apart where they would overlap."""
    named = sorted((line for line in series if line.points and line.name), key=lambda line: frame.y(line.points[-1][1]))
    places = [frame.y(line.points[-1][1]) for line in named]
    for number in range(1, len(places)):
        places[number] = max(places[number], places[number - 1] + _APART)
    floor = frame.bottom
    for number in reversed(range(len(places))):
        places[number] = min(places[number], floor)
        floor = places[number] - _APART
    for line, y in zip(named, places, strict=True):
        yield _text(frame.right + 10, y + 4, keys.get(line.name, line.name), f"end {line.tone}")


def ticks(most: float, count: int = 5) -> list[float]:
    """Round numbers from 0 to one that is not below `most`."""
    if not most > 0 or not math.isfinite(most):
        return [0.0, 1.0]
    rough = most / count
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(one * size for one in (1, 2, 2.5, 5, 10) if one * size >= rough * (1 - 1e-9))
    return [step * number for number in range(math.ceil(most / step * (1 - 1e-9)) + 1)]


def _text(x: float, y: float, text: str, kind: str, *, anchor: str = "start") -> str:
    place = "" if anchor == "start" else f' text-anchor="{anchor}"'
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}"{place}>{escape(text)}</text>'


def _rect(x: float, y: float, width: float, height: float, tone: str, title: str) -> str:
    return f'<rect class="{tone}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="2"><title>{escape(title)}</title></rect>'


def _cut(text: str, room: float) -> str:
    letters = max(4, int(room / _LETTER))
    return text if len(text) <= letters else f"{text[: letters - 1].rstrip()}…"


def _svg(width: float, height: float, title: str, body: Sequence[str]) -> str:
    name = escape(title, quote=True)
    return f'<svg viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-label="{name}">{"".join(body)}</svg>'
