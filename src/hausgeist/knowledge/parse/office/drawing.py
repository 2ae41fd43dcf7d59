"""What drawings of all Office programs share: paragraphs of text in shapes, tables, charts, diagrams, formulas."""

from __future__ import annotations

from collections.abc import Iterator

from lxml import etree

from hausgeist.knowledge.parse.base import Draft
from hausgeist.knowledge.parse.markup import attribute, local, text_of
from hausgeist.knowledge.parse.office.package import Package

__all__ = ["add_chart", "add_diagram", "alternative", "description", "formula", "paragraph_text", "paragraphs"]


def alternative(element: etree._Element) -> etree._Element | None:
    """Of a content that a file gives for newer and for older programs: the newer one, where there is something in it that is read."""
    choices = [child for child in element if local(child) in {"Choice", "Fallback"}]
    for choice in choices:
        if any(local(one) in {"t", "tbl", "chart", "relIds", "oMath"} for one in choice.iter(etree.Element)):
            return choice
    return choices[0] if choices else None


def description(element: etree._Element) -> str:
    """What somebody wrote about a picture, for those who cannot see it. What programs make up of themselves is left out."""
    for one in element.iter(etree.Element):
        if local(one) in {"cNvPr", "docPr"}:
            text = (one.get("descr") or one.get("title") or "").strip()
            if len(text) > 3 and " " in text and "automatically generated" not in text and "automatisch generiert" not in text:
                return text
    return ""


def paragraph_text(paragraph: etree._Element) -> str:
    """The text of an `a:p`."""
    parts: list[str] = []
    for child in paragraph:
        name = local(child)
        if name in {"r", "fld"}:
            parts += (text_of(one) for one in child if local(one) == "t")
        elif name == "br":
            parts.append("\n")
        elif name == "tab":
            parts.append("\t")
        elif name == "m":
            parts.append(formula(child))
        elif name == "AlternateContent" and (chosen := alternative(child)) is not None:
            parts.append(paragraph_text(chosen))
    return "".join(parts)


def paragraphs(body: etree._Element) -> Iterator[tuple[str, int]]:
    """Text and level of the paragraphs of a `p:txBody` and of what is built like one; their bullets and numbers are written before them."""
    counts: dict[int, int] = {}
    for child in body:
        if local(child) != "p":
            continue
        properties = next((one for one in child if local(one) == "pPr"), None)
        given = (attribute(properties, "lvl") or "0") if properties is not None else "0"
        level = int(given) if given.isdigit() else 0
        mark = next((local(one) for one in properties if local(one) in {"buChar", "buAutoNum", "buBlip"}), "") if properties is not None else ""
        text = paragraph_text(child)
        counts = {deep: count for deep, count in counts.items() if deep < level or (deep == level and mark == "buAutoNum")}
        if mark == "buAutoNum" and text.strip():
            counts[level] = counts.get(level, 0) + 1
            text = f"{counts[level]}. {text.lstrip()}"
        elif mark and text.strip():
            text = f"• {text.lstrip()}"
        yield text, level


def add_diagram(draft: Draft, package: Package, part: str) -> None:
    """The words of a SmartArt, one item each."""
    root = package.xml_or_none(part)
    if root is None:
        return
    for body in root.iter(etree.Element):
        if local(body) == "t" and any(local(child) == "p" for child in body):
            text = " ".join(text for text, _ in paragraphs(body)).strip()
            if text:
                draft.item(text)


def add_chart(draft: Draft, package: Package, part: str, *, values: bool = True) -> None:
    """A chart as its titles and, with `values`, the table that it draws, from the values kept in the chart itself."""
    root = package.xml_or_none(part)
    if root is None:
        return
    for title in _all(root, "title"):
        text = " ".join(filter(None, (paragraph_text(one).strip() for one in title.iter(etree.Element) if local(one) == "p")))
        text = text or " ".join(text_of(one) for one in _all(title, "v"))
        if text:
            draft.caption(text)
    if not values:
        return
    names: list[str] = []
    columns: list[dict[int, str]] = []
    categories: dict[int, str] = {}
    for series in _all(root, "ser"):
        child = {local(one): one for one in series}
        names.append(" ".join(text_of(one) for one in _all(child["tx"], "v")) if "tx" in child else f"{len(names) + 1}")
        columns.append(_points(child.get("val", child.get("yVal"))))
        for place, text in _points(child.get("cat", child.get("xVal"))).items():
            categories.setdefault(place, text)
        if len(columns) >= 100:
            break
    if not columns:
        return
    places = sorted({*categories, *(place for column in columns for place in column)})[:10_000]
    rows = [["", *names], *([categories.get(place, ""), *(column.get(place, "") for column in columns)] for place in places)]
    draft.table(rows, header=1)


def _points(element: etree._Element | None) -> dict[int, str]:
    found: dict[int, str] = {}
    for point in _all(element, "pt") if element is not None else ():
        index = point.get("idx") or ""
        if index.isdigit():
            text = " ".join(text_of(value).strip() for value in point if local(value) == "v")
            # Of categories in several levels the innermost comes first; the outer ones are put before it.
            found[int(index)] = f"{text} {found[int(index)]}" if int(index) in found else text
    return found


def _all(element: etree._Element, name: str) -> Iterator[etree._Element]:
    return (one for one in element.iter(etree.Element) if local(one) == name)


def formula(element: etree._Element) -> str:
    """A formula on one line: `x^2`, `(a)/(b)`, `√(x)`."""
    name = local(element)
    if name == "t":
        return text_of(element)
    if name.endswith("Pr"):
        return _sign(element) if name == "naryPr" else ""
    inner = {local(child): formula(child) for child in element if local(child) in {"num", "den", "e", "sup", "sub", "deg", "lim", "fName"}}
    match name:
        case "f":
            return f"{_grouped(inner.get('num', ''))}/{_grouped(inner.get('den', ''))}"
        case "rad":
            return f"{inner.get('deg', '')}√{_grouped(inner.get('e', ''))}"
        case "sSup" | "sSub" | "sSubSup" | "sPre":
            return inner.get("e", "") + _script("_", inner.get("sub")) + _script("^", inner.get("sup"))
        case "nary":
            sign = next((_sign(child) for child in element if local(child) == "naryPr"), "∫")
            return sign + _script("_", inner.get("sub")) + _script("^", inner.get("sup")) + " " + inner.get("e", "")
        case "d":
            return "(" + ", ".join(formula(child) for child in element if local(child) == "e") + ")"
    return "".join(formula(child) for child in element)


def _sign(element: etree._Element) -> str:
    return next((attribute(one, "val") or "∫" for one in element if local(one) == "chr"), "∫")


def _grouped(text: str) -> str:
    return text if len(text) < 2 or text.isalnum() else f"({text})"


def _script(mark: str, text: str | None) -> str:
    return mark + _grouped(text) if text else ""
