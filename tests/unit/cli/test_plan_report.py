"""The charts of the page that is mailed: nothing outside, nothing one over the other, and all of it in words as well."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from itertools import combinations

import pytest

from hausgeist.cli.planning.charts import BROAD, SLIM, Bar, Dot, Dots, Line, Mark, Part, bars, dots, lines
from hausgeist.cli.planning.style import STYLE
from hausgeist.cli.planning.words import months

LETTER = 6.5
"""Width of a letter of 12 pixels, about, in common typefaces."""
NAMES = ("gemma3:4b at Q4_K_M", "granite4.2:30b at Q4_K_M on AMD Ryzen AI Max+ 395, 128 GB", "a" * 80, "x")


def picture(text: str) -> ET.Element:
    return ET.fromstring(text[: text.index("</svg>") + len("</svg>")])


def boxes(drawn: ET.Element) -> list[tuple[str, float, float, float]]:
    """Text, left, right, baseline."""
    found = []
    for one in drawn.iter("text"):
        said, x, y = one.text or "", float(one.attrib["x"]), float(one.attrib["y"])
        long = len(said) * LETTER
        left = {"end": x - long, "middle": x - long / 2}.get(one.get("text-anchor", "start"), x)
        found.append((said, left, left + long, y))
    return found


def tidy(drawn: ET.Element, width: float) -> None:
    for said, left, right, _ in boxes(drawn):
        assert left >= -1, said
        assert right <= width + 1, said
    for (one, left, right, y), (other, begin, end, at) in combinations(boxes(drawn), 2):
        assert abs(y - at) >= 11 or right <= begin or end <= left, (one, other)


@pytest.mark.parametrize("width", [BROAD, SLIM])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("used", [1.0, 11.9, 13.0, 500.0])
def test_bars_stay_within_the_chart(width: float, name: str, used: float) -> None:
    rows = [Bar(name, [Part("weights", used * 0.9, "weights"), Part("KV cache", used * 0.1, "cache")], 12.0, f"{used} of 12: fits")] * 3
    drawn = picture(bars(rows, title="Memory", show=lambda value: f"{value:.1f} GiB", width=width))
    tidy(drawn, width)
    past = [one for one in drawn.iter("rect") if one.get("class") == "past"]
    assert len(past) == (3 if used > 12 else 0)
    said = drawn.get("aria-label") or ""
    assert name in said
    assert f"weights {used * 0.9:.1f} GiB" in said


@pytest.mark.parametrize("width", [BROAD, SLIM])
@pytest.mark.parametrize("name", NAMES)
def test_lines_are_named_at_their_ends_or_by_letters(width: float, name: str) -> None:
    series = [Line(f"{place}{name}", [(256.0, 9.0), (8192.0, 5.0), (131072.0, 1.0)], f"s{place}") for place in range(4)]
    text = lines(
        series, title="Speed", x_name="tokens", y_name="tokens per second", x_show=lambda x: f"{x:.0f}", y_show=lambda y: f"{y:.0f}",
        x_scale="log", marks=[Mark(8192.0, "asked for: 8k")], width=width,
    )  # fmt: skip
    drawn = picture(text)
    tidy(drawn, width)
    ends = [one.text for one in drawn.iter("text") if "end " in one.attrib["class"]]
    if "legend" in text:
        assert sorted(map(str, ends)) == ["A", "B", "C", "D"]
        assert f'<b class="s2">C</b> 2{name}<' in text
    else:
        assert sorted(map(str, ends)) == [line.name for line in series]
    assert f"0{name}: 9 at 256, 5 at 8192, 1 at 131072." in (drawn.get("aria-label") or "")


def test_a_line_alone_has_no_name() -> None:
    text = lines([Line("", [(0.0, 1.0), (1.0, 2.0)], "s0")], title="t", x_name="x", y_name="y", x_show=str, y_show=str)
    assert "legend" not in text
    assert "<title>1.0 at 0.0</title>" in text


def percent(value: float) -> str:
    return f"{value:+.1%}"


def circles(drawn: ET.Element) -> list[tuple[float, float, str]]:
    return [(float(one.attrib["cx"]), float(one.attrib["cy"]), one.attrib["class"]) for one in drawn.iter("circle")]


@pytest.mark.parametrize("width", [BROAD, SLIM])
@pytest.mark.parametrize("name", NAMES)
def test_dots_lie_where_their_values_are_and_hide_none(width: float, name: str) -> None:
    values = [-0.02, 0.0, 0.0, 0.0001, 0.01, 0.02]
    rows = [Dots(name, [Dot(value, f"load {place}", hollow=value < 0) for place, value in enumerate(values)], "s0", "6 loads, median 0.5%")] * 2
    drawn = picture(dots(rows, title="Errors", show=percent, width=width))
    tidy(drawn, width)
    found = circles(drawn)
    assert len(found) == 12
    for (x, y, _), (other, at, _) in combinations(found[:6], 2):
        assert (x - other) ** 2 + (y - at) ** 2 >= 9**2
    places = [x for x, _, _ in found[:6]]
    assert places == sorted(places)
    assert places[1] == width / 2
    assert places[5] - width / 2 == pytest.approx(width / 2 - places[0], abs=0.2)
    assert [kind for _, _, kind in found[:2]] == ["dot s0 hollow", "dot s0"]
    assert [one.text for one in drawn.iter("title")][:2] == ["load 0: -2.0%", "load 1: +0.0%"]
    assert "load 0 -2.0%, load 1 +0.0%" in (drawn.get("aria-label") or "")


@pytest.mark.parametrize("width", [BROAD, SLIM])
def test_one_dot_far_off_does_not_press_the_others_together(width: float) -> None:
    values = [place / 1000 for place in range(-9, 11)] + [5.0]
    drawn = picture(dots([Dots("all", [Dot(value, "m") for value in values], "s1")], title="Errors", show=percent, width=width))
    places = [x for x, _, _ in circles(drawn)]
    assert places[-1] <= width
    assert places[-1] - places[0] > 0.6 * width
    assert "m: +500.0%" in [one.text for one in drawn.iter("title")]


def test_a_hundred_dots_on_one_place_stay_on_the_page() -> None:
    drawn = picture(dots([Dots("all", [Dot(0.01, "m")] * 100, "s0")], title="Errors", show=percent))
    high = float(drawn.attrib["viewBox"].split()[3])
    assert high < 250
    assert all(0 < y < high for _, y, _ in circles(drawn))
    assert len(circles(drawn)) == 100


def test_no_dots_are_no_chart() -> None:
    assert dots([Dots("all", [], "s0")], title="Errors", show=percent) == ""


def luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(letter * 2 for letter in colour[1:])
    red, green, blue = (int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4))
    parts = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in (red, green, blue)]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


@pytest.mark.parametrize("dark", [False, True])
def test_text_can_be_read_in_both_themes(dark: bool) -> None:
    """WCAG 2.2, 1.4.3: at least 4.5 to 1."""
    light, _, night = STYLE.partition("prefers-color-scheme:dark")
    colours = dict(re.findall(r"--(\w+):(#\w+)", light))
    if dark:
        colours |= dict(re.findall(r"--(\w+):(#\w+)", night))

    def contrast(one: str, other: str) -> float:
        high, low = sorted((luminance(colours[one]), luminance(colours[other])), reverse=True)
        return (high + 0.05) / (low + 0.05)

    for name in ("ink", "soft", "good", "careful", "bad", *(f"s{place}" for place in range(8))):
        assert contrast(name, "card") >= 4.5, name
        if not name.startswith("s"):
            assert contrast(name, "ground") >= 4.5, name
    on = {"weights": "inside", "output": "inside", "repack": "pale", "cache": "dark", "compute": "dark", "overhead": "dark"}
    for part, text in on.items():
        assert contrast(text, part) >= 4.5, part


def test_months_are_counted_in_full() -> None:
    assert [months(value) for value in (0.2, 1.0, 1.2, 23.9)] == ["1 month", "1 month", "2 months", "24 months"]
