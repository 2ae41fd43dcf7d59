"""How much of what a file says its reader finds, against the file's own text, and how long it takes.

    python -m benchmarks fidelity FOLDER

Words are those of `\\w+`, in lower case, as a multiset of the whole text. Recall is against `w:t`, `a:t` and the strings of a workbook, against
content.xml of OpenDocument, against the text parts of mails (of alternatives the first that says at least half of the longest) and books, against
the text of HTML; F1 of PDF is against pdftotext.
Times are of the processor, the shorter of two reads after a first one that loads the reader; OCR runs in a process of its own and is not in them.
"""

from __future__ import annotations

import base64
import email
import email.policy
import logging
import re
import shutil
import subprocess
import time
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.report import Figure, median
from hausgeist.knowledge.parse.base import Limits, Unreadable
from hausgeist.knowledge.parse.reading import read
from hausgeist.knowledge.parsed import Parsed

__all__ = ["measure"]

_FOLDER = Path(__file__).resolve().parents[2] / "shared" / "eval" / "docs"
_WORD = re.compile(r"\w+")
_GOALS = {"docx": 0.94, "pptx": 0.96, "xlsx": 0.98, "odf": 0.98, "html": 0.98, "mail": 0.98, "epub": 0.98, "csv": 0.98}
_PDF_GOAL = 0.99
_LONG = 3.0
"""Seconds of a read that is not repeated."""


@dataclass(frozen=True, slots=True)
class _File:
    name: str
    kind: str
    parsed: Parsed | None
    why: str
    share: float | None
    """Of the words of its own text that were found; F1 for PDF."""
    milliseconds: float


def measure(folder: Path = _FOLDER) -> list[Figure]:
    logging.disable(logging.WARNING)
    if not folder.is_dir():
        raise SystemExit(f"there is no folder {folder}; say which one: python -m benchmarks fidelity FOLDER")
    files = [_measure(path) for path in sorted(folder.iterdir()) if path.is_file() and path.suffix not in {".tsv"}]
    figures: list[Figure] = []
    for kind in sorted({file.kind for file in files}):
        figures += _of_kind(kind, [file for file in files if file.kind == kind])
    read_ones = [file for file in files if file.parsed is not None]
    figures.append(Figure("files read", f"{len(read_ones)} of {len(files)}, the others: {_reasons(files)}"))
    # Recognising pictures takes seconds a page, whatever reads the file around them.
    typed = [file for file in read_ones if file.parsed is not None and not any(page.recognised for page in file.parsed.pages)]
    rate = 1000 * len(typed) / sum(file.milliseconds for file in typed) if typed else 0.0
    figures.append(Figure(f"files per second, one process, {len(typed)} without pictures to recognise", f"{rate:.0f}", ">= 30", rate >= 30))
    figures += [_of_file(file) for file in files]
    return figures


def _of_kind(kind: str, files: list[_File]) -> list[Figure]:
    shares = [file.share for file in files if file.share is not None]
    times = [file.milliseconds for file in files]
    found: list[Figure] = []
    if shares:
        goal = _PDF_GOAL if kind == "pdf" else _GOALS.get(kind)
        value = median(shares) if kind == "pdf" else sum(shares) / len(shares)
        name = "F1 against pdftotext, median" if kind == "pdf" else "recall, mean"
        found.append(
            Figure(
                f"{kind}: {name} of {len(shares)}",
                f"{value:.4f} (least {min(shares):.4f})",
                f">= {goal}" if goal else "",
                value >= goal if goal else None,
            )
        )
    found.append(Figure(f"{kind}: milliseconds, median of {len(times)}", f"{median(times):.1f} (most {max(times):.1f})"))
    return found


def _of_file(file: _File) -> Figure:
    share = "" if file.share is None else f"{file.share:.4f}, "
    state = "UNREADABLE" if file.parsed is None else f"{len(file.parsed.blocks)} blocks"
    return Figure(file.name[-60:], f"{share}{state}, {file.milliseconds:.1f} ms")


def _reasons(files: list[_File]) -> str:
    return "; ".join(sorted({file.why for file in files if file.parsed is None})) or "none"


def _measure(path: Path) -> _File:
    parsed, why, best = None, "", float("inf")
    for attempt in range(3):
        start, clock = time.process_time(), time.perf_counter()
        try:
            parsed = read(path, path.name, Limits())
        except Unreadable as error:
            why = error.message
        taken = 1000 * (time.process_time() - start)
        if attempt or time.perf_counter() - clock > _LONG:
            best = min(best, taken)
        if time.perf_counter() - clock > _LONG:
            break
    kind = _kind(path)
    share = None
    if parsed is not None:
        if kind == "pdf":
            share = _f1(path, parsed.text)
        elif (own := _own(path, kind)) is not None:
            share = _recall(own, parsed.text)
    return _File(path.name, kind, parsed, why, share, best)


def _kind(path: Path) -> str:
    suffix = path.suffix.lower().lstrip(".")
    if suffix == "ppt" and zipfile.is_zipfile(path):
        return "pptx"
    return {"odt": "odf", "odp": "odf", "ods": "odf", "eml": "mail", "mbox": "mail", "htm": "html"}.get(suffix, suffix)


def _words(text: str) -> Counter[str]:
    # An optional hyphen stands within a word, and is not read as its end.
    return Counter(_WORD.findall(text.replace("\u00ad", "").lower()))


def _recall(own: str, found: str) -> float | None:
    wanted = _words(own)
    if not wanted:
        return None
    return sum((wanted & _words(found)).values()) / sum(wanted.values())


def _f1(path: Path, found: str) -> float | None:
    if shutil.which("pdftotext") is None:
        return None
    done = subprocess.run(["pdftotext", "-q", str(path), "-"], capture_output=True, check=False)
    wanted, got = _words(done.stdout.decode("utf-8", "replace")), _words(found)
    if not wanted:
        return None
    common = sum((wanted & got).values())
    return 2 * common / (sum(wanted.values()) + sum(got.values()))


def _own(path: Path, kind: str) -> str | None:
    if kind in {"docx", "pptx", "xlsx", "odf", "epub"}:
        with zipfile.ZipFile(path) as archive:
            return "\n".join(_OF_ARCHIVE[kind](archive))
    if kind == "mail":
        data = path.read_bytes()
        parts = re.split(rb"(?:\A|\n)From [^\n]*\n", data) if path.suffix == ".mbox" else [data]
        return "\n".join(_of_mail(email.message_from_bytes(part)) for part in parts)
    if kind == "html":
        return _of_html(path.read_bytes())
    return path.read_text("utf-8", "replace") if kind == "csv" else None


def _xml(archive: zipfile.ZipFile, name: str) -> Any:
    from lxml import etree

    return etree.fromstring(archive.read(name), etree.XMLParser(resolve_entities=False, no_network=True, recover=True))


def _paragraphs(root: Any, space: str) -> Iterator[str]:
    """The text of each paragraph, its runs joined; paragraphs of text boxes within it are their own, and given once."""
    from lxml import etree

    for paragraph in root.iter(f"{{{space}}}p"):
        parts: list[str] = []
        for element in paragraph.iter(etree.Element):
            holder = next(element.iterancestors(f"{{{space}}}p"), None)
            if (
                holder is not paragraph
                or next(element.iterancestors("{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"), None) is not None
            ):
                continue
            name = etree.QName(element).localname
            parts.append(
                (element.text or "")
                if element.tag == f"{{{space}}}t"
                else " "
                if name in {"tab", "br", "cr"}
                else "-"
                if name == "noBreakHyphen"
                else ""
            )
        yield "".join(parts)


def _of_docx(archive: zipfile.ZipFile) -> Iterator[str]:
    for name in archive.namelist():
        if re.fullmatch(r"word/(document\d*|header\d*|footer\d*|footnotes|endnotes|comments)\.xml", name):
            yield from _paragraphs(_xml(archive, name), "http://schemas.openxmlformats.org/wordprocessingml/2006/main")


def _of_pptx(archive: zipfile.ZipFile) -> Iterator[str]:
    for name in archive.namelist():
        if re.fullmatch(r"ppt/(slides/slide|notesSlides/notesSlide)\d+\.xml", name):
            yield from _paragraphs(_xml(archive, name), "http://schemas.openxmlformats.org/drawingml/2006/main")


def _of_xlsx(archive: zipfile.ZipFile) -> Iterator[str]:
    for name in archive.namelist():
        if re.fullmatch(r"xl/(sharedStrings|worksheets/sheet\d+)\.xml", name):
            for item in _xml(archive, name).iter("{*}si", "{*}is"):
                yield "".join(text.text or "" for text in item.iter("{*}t") if next(text.iterancestors("{*}rPh"), None) is None)


def _of_odf(archive: zipfile.ZipFile) -> Iterator[str]:
    space = "urn:oasis:names:tc:opendocument:xmlns:text:1.0"
    body = next(_xml(archive, "content.xml").iter("{*}body"))
    for element in body.iter(f"{{{space}}}p", f"{{{space}}}h"):
        if next(element.iterancestors(f"{{{space}}}tracked-changes", f"{{{space}}}p", f"{{{space}}}h"), None) is None:
            for gap in element.iter(f"{{{space}}}s", f"{{{space}}}tab", f"{{{space}}}line-break"):
                gap.tail = " " + (gap.tail or "")
            yield "".join(element.itertext())


def _of_epub(archive: zipfile.ZipFile) -> Iterator[str]:
    package = next(name for name in archive.namelist() if name.endswith(".opf"))
    root = _xml(archive, package)
    manifest = {item.get("id"): item.get("href") for item in root.iter("{*}item")}
    folder = package.rpartition("/")[0]
    for reference in root.iter("{*}itemref"):
        yield _of_html(archive.read("/".join(filter(None, (folder, manifest[reference.get("idref")])))))


_OF_ARCHIVE = {"docx": _of_docx, "pptx": _of_pptx, "xlsx": _of_xlsx, "odf": _of_odf, "epub": _of_epub}


def _of_html(data: bytes) -> str:
    from lxml import html

    root = html.document_fromstring(data)
    body = root.find("body") if root.find("body") is not None else root
    for element in list(body.iter("script", "style", "noscript", "template", "svg", "select", "iframe")):
        element.drop_tree()
    for element in list(body.iter()):
        if (
            isinstance(element.tag, str)
            and (re.search(r"display\s*:\s*none", element.get("style") or "") or element.get("hidden") is not None)
            and element.getparent() is not None
        ):
            element.drop_tree()
    inline = {
        "a",
        "b",
        "i",
        "em",
        "strong",
        "span",
        "u",
        "sup",
        "sub",
        "small",
        "code",
        "font",
        "abbr",
        "cite",
        "mark",
        "s",
        "del",
        "ins",
        "big",
        "tt",
        "strike",
        "wbr",
        "q",
    }
    parts: list[str] = []

    def walk(element: Any) -> None:
        if not isinstance(element.tag, str):
            return
        gap = "" if element.tag in inline else "\n"
        parts.extend((gap, element.text or ""))
        for child in element:
            walk(child)
            parts.append(child.tail or "")
        parts.append(gap)

    walk(body)
    return "".join(parts)


def _of_mail(message: Any) -> str:
    kind = message.get_content_type()
    if kind == "message/rfc822" and message.get("Content-Transfer-Encoding", "").lower() == "base64":
        return _of_mail(email.message_from_bytes(base64.b64decode(message.get_payload()[0].get_payload())))
    if message.is_multipart():
        texts = [_of_mail(part) for part in message.get_payload()]
        if kind == "multipart/alternative":
            counts = [len(_WORD.findall(text)) for text in texts]
            return next((text for text, count in zip(texts, counts, strict=True) if count >= 0.5 * max(counts)), "")
        return "\n".join(texts)
    if message.get_content_maintype() != "text":
        return ""
    data = message.get_payload(decode=True)
    if kind == "text/html":
        return _of_html(data) if data.strip() else ""
    try:
        return str(data.decode(message.get_content_charset() or "utf-8", "replace"))
    except LookupError:
        return str(data.decode("utf-8", "replace"))
