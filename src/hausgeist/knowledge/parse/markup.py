"""XML that strangers made, read by a parser that knows no entities, opens no file and asks no network."""

from __future__ import annotations

import html.entities
import re
from collections.abc import Iterator
from typing import IO

from lxml import etree

from hausgeist.knowledge.parse.base import Unreadable

__all__ = ["attribute", "local", "parse", "stream", "text_of"]

_NAMED = re.compile(rb"&([A-Za-z][A-Za-z0-9]{1,30});")
_ENTITY = re.compile(rb"<!\s*ENTITY", re.IGNORECASE)
_KEPT = {b"amp", b"lt", b"gt", b"quot", b"apos"}


def parse(data: bytes, *, forgiving: bool = True) -> etree._Element:
    """The root of a document. Entities of a document's own are refused, those that HTML names are replaced; nothing outside is loaded.

    Raises `Unreadable` for what is no XML; a forgiving parser takes what it can get.
    """
    if _ENTITY.search(data[: 1 << 16].replace(b"\x00", b"")):
        raise Unreadable("The file defines entities of its own, as hostile XML does. Save it again without a document type.")
    if b"&" in data and b"\x00" not in data[:64]:
        data = _NAMED.sub(_named, data)
    try:
        root = etree.fromstring(data, _parser(recover=False))
    except (etree.XMLSyntaxError, ValueError) as error:
        root = None
        if forgiving:
            try:
                root = etree.fromstring(data, _parser(recover=True))
            except (etree.XMLSyntaxError, ValueError):
                root = None
        if root is None:
            raise Unreadable(f"A part of the file is not valid XML ({str(error)[:120]}). Open it in its program and save it again.") from error
    dtd = root.getroottree().docinfo.internalDTD
    if dtd is not None and next(iter(dtd.iterentities()), None) is not None:
        raise Unreadable("The file defines entities of its own, as hostile XML does. Save it again without a document type.")
    return root


def stream(file: IO[bytes], tags: tuple[str, ...]) -> Iterator[etree._Element]:
    """Elements with these names as their ends are reached; each is emptied after its turn, so a gigantic file takes little memory."""
    try:
        for _, element in etree.iterparse(
            file,
            events=("end",),
            tag=tags,
            resolve_entities=False,
            load_dtd=False,
            no_network=True,
            huge_tree=False,
            recover=True,
            remove_comments=True,
            remove_pis=True,
        ):
            yield element
            element.clear()
            while element.getprevious() is not None and (parent := element.getparent()) is not None:
                del parent[0]
    except etree.XMLSyntaxError as error:
        raise Unreadable(f"A part of the file is not valid XML ({str(error)[:120]}). Open it in its program and save it again.") from error


def local(element: etree._Element) -> str:
    """The name without its namespace; empty for comments and instructions."""
    tag = element.tag
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""


def attribute(element: etree._Element, name: str) -> str | None:
    """An attribute by its name without a namespace, whatever namespace the writer's version of the format has."""
    value = element.get(name)
    if value is not None:
        return str(value)
    for key, value in element.attrib.items():
        if str(key).rpartition("}")[2] == name:
            return str(value)
    return None


def text_of(element: etree._Element) -> str:
    """All text within an element."""
    return "".join(str(part) for part in element.itertext(etree.Element))


def _parser(*, recover: bool) -> etree.XMLParser:
    return etree.XMLParser(
        resolve_entities=False,
        load_dtd=False,
        no_network=True,
        huge_tree=False,
        recover=recover,
        remove_comments=True,
        remove_pis=True,
        collect_ids=False,
    )


def _named(match: re.Match[bytes]) -> bytes:
    name = match.group(1)
    if name in _KEPT:
        return match.group(0)
    character = html.entities.html5.get(name.decode() + ";")
    return match.group(0) if character is None else "".join(f"&#{ord(one)};" for one in character).encode()
