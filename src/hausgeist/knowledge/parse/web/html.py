"""HTML pages: all that a reader sees, with headings, lists and tables.

Where a page is an article, what is around it (navigation, advertisements, related links) stands at the end as furniture; trafilatura decides.
"""

from __future__ import annotations

import logging
import re

from lxml import etree

from hausgeist.knowledge.parse.base import Draft, Limits, Source, Unreadable, content
from hausgeist.knowledge.parse.encoding import decode
from hausgeist.knowledge.parse.web.elements import Piece, add, pieces, root_of
from hausgeist.knowledge.parsed import Parsed

__all__ = ["add_html", "declared_encoding", "read"]

MEDIA_TYPE = "text/html"

_CHARSET = re.compile(
    rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_.:-]{2,40})|<\?xml[^>]{0,100}?encoding\s*=\s*[\"']([A-Za-z0-9_.:-]{2,40})", re.IGNORECASE
)
_WORD = re.compile(r"\w+")
_ARTICLE = 80
"""Words that make an article; shorter pages are taken whole."""
_LARGEST = 4 << 20
"""Bytes of a page that is asked whether it is an article."""
_NAMED = {
    "author": "author",
    "description": "description",
    "keywords": "keywords",
    "article:published_time": "created",
    "date": "created",
    "dc.creator": "author",
    "dc.date": "created",
}


def read(source: Source, filename: str, limits: Limits) -> Parsed:
    """The text of a page."""
    data = content(source, limits)
    text = decode(data, declared_encoding(data))
    root = root_of(text)
    if root is None:
        raise Unreadable("The page is empty.")
    draft = Draft(limits)
    found = pieces(root)
    # A page without any of these was written to be read as it is; no need to ask.
    website = next(root.iter("nav", "footer", "aside", "script", "form"), None) is not None
    main = _main_words(text, found) if website and len(data) <= _LARGEST else None
    if main is None:
        boiler = sum(len(piece.text) for piece in found if piece.aside)
        add(found, draft, (lambda piece: piece.aside) if boiler < sum(len(piece.text) for piece in found) else None)
    else:
        add(found, draft, lambda piece: not _belongs(piece, main))
    properties = _properties(root)
    return draft.parsed(MEDIA_TYPE, title=properties.pop("title", ""), properties=properties)


def declared_encoding(data: bytes) -> str | None:
    """What the page says about its encoding."""
    match = _CHARSET.search(data[:4096])
    return next(group for group in match.groups() if group).decode("ascii") if match else None


def add_html(draft: Draft, text: str) -> str:
    """A page within something else (a mail, a book), taken whole; its title."""
    root = root_of(text)
    if root is None:
        return ""
    add(pieces(root), draft)
    return _properties(root).get("title", "")


def _properties(root: etree._Element) -> dict[str, str]:
    found: dict[str, str] = {}
    title = next(root.iter("title"), None)
    if title is not None and title.text:
        found["title"] = title.text
    for meta in root.iter("meta"):
        name = _NAMED.get((meta.get("name") or meta.get("property") or "").lower())
        if name and name not in found and meta.get("content"):
            found[name] = str(meta.get("content"))
    if language := root.get("lang"):
        found["language"] = language
    return found


def _main_words(text: str, found: list[Piece]) -> str | None:
    """The words of the article, one space between them; none where the page is not one."""
    words = sum(len(_WORD.findall(piece.text)) for piece in found if not piece.aside)
    if words < 2 * _ARTICLE:
        return None
    import trafilatura

    # It reports on its own what it cannot read; here a page that it cannot read is simply no article.
    logging.getLogger("trafilatura").setLevel(logging.CRITICAL)
    try:
        main = trafilatura.extract(text, fast=True, include_comments=False, include_tables=True, output_format="txt", deduplicate=False)
    except Exception:
        return None
    joined = " ".join(_WORD.findall((main or "").lower()))
    count = joined.count(" ") + 1
    # A page of which most would be left out is a list, a form or a dashboard rather than an article.
    if count < _ARTICLE or count < 0.4 * words:
        return None
    return f" {joined} "


def _belongs(piece: Piece, main: str) -> bool:
    if piece.kind == "heading" and piece.level == 1:
        return True
    texts = [piece.text] if piece.text else [cell for row in piece.rows[:20] for cell in row]
    joined = [" ".join(_WORD.findall(text.lower())) for text in texts]
    wanted = [text for text in joined if text]
    if not wanted:
        return not piece.aside
    if piece.kind == "table":
        return sum(f" {text} " in main for text in wanted) >= 0.5 * len(wanted)
    if f" {wanted[0].removeprefix('1 ')} " in main:
        return True
    # Links and line breaks are joined otherwise there; most of a long piece is proof enough.
    parts = [one for one in re.split(r"[.!?\n]", piece.text.lower()) if len(one) > 20]
    return bool(parts) and sum(f" {' '.join(_WORD.findall(one))} " in main for one in parts) >= 0.5 * len(parts)
