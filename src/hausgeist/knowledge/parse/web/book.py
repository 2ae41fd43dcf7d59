"""Books (EPUB): the chapters in the order of reading, each a page with its name from the table of contents."""

from __future__ import annotations

import posixpath
from urllib.parse import unquote

from lxml import etree

from hausgeist.knowledge.parse.archive import Archive
from hausgeist.knowledge.parse.base import Draft, Limits, Source, Unreadable
from hausgeist.knowledge.parse.encoding import decode
from hausgeist.knowledge.parse.markup import attribute, local, parse, text_of
from hausgeist.knowledge.parse.web.elements import add, pieces, root_of
from hausgeist.knowledge.parse.web.html import declared_encoding
from hausgeist.knowledge.parsed import Parsed

__all__ = ["read"]

MEDIA_TYPE = "application/epub+zip"

_PROPERTIES = {
    "creator": "author",
    "date": "created",
    "language": "language",
    "publisher": "publisher",
    "subject": "keywords",
    "description": "description",
    "title": "title",
}


def read(source: Source, filename: str, limits: Limits) -> Parsed:
    """The text of a book."""
    draft = Draft(limits)
    with Archive(source, limits) as archive:
        path = _package(archive)
        package = parse(archive.read(path))
        folder = posixpath.dirname(path)
        manifest = {one.get("id") or "": one for one in package.iter(etree.Element) if local(one) == "item"}
        order = [one.get("idref") or "" for one in package.iter(etree.Element) if local(one) == "itemref"]
        chapters = [(manifest[one].get("href") or "") for one in order if one in manifest and "html" in (manifest[one].get("media-type") or "html")]
        if "META-INF/encryption.xml" in archive and _locked(archive, [_join(folder, chapter) for chapter in chapters]):
            raise Unreadable("The book is protected by its seller (DRM); only a copy without that can be read.")
        names = _contents(archive, folder, manifest)
        for chapter in chapters:
            part = _join(folder, chapter)
            if part not in archive:
                draft.warn(f"A chapter is missing in the file ({part[-60:]}).")
                continue
            if not draft.page(names.get(part, "")):
                break
            data = archive.read(part)
            root = _tree(data)
            if root is not None:
                add(pieces(root), draft)
        properties = _properties(package)
    return draft.parsed(MEDIA_TYPE, title=properties.pop("title", ""), properties=properties)


def _tree(data: bytes) -> etree._Element | None:
    """A chapter as XML, which it should be; as HTML, when it is not."""
    try:
        root = parse(data, forgiving=False)
    except Unreadable:
        return root_of(decode(data, declared_encoding(data)))
    for element in root.iter(etree.Element):
        element.tag = local(element)
    return root


def _join(folder: str, target: str) -> str:
    return posixpath.normpath(posixpath.join(folder, unquote(target.partition("#")[0])))


def _package(archive: Archive) -> str:
    if "META-INF/container.xml" in archive:
        for one in parse(archive.read("META-INF/container.xml")).iter(etree.Element):
            if local(one) == "rootfile" and (path := str(one.get("full-path") or "")) in archive:
                return path
    found = next((name for name in archive.names if name.endswith(".opf")), None)
    if found is None:
        raise Unreadable("The book has no table of its parts. Get a whole copy.")
    return found


def _locked(archive: Archive, chapters: list[str]) -> bool:
    root = parse(archive.read("META-INF/encryption.xml"))
    locked = {unquote(attribute(one, "URI") or "") for one in root.iter(etree.Element) if local(one) == "CipherReference"}
    return any(chapter in locked for chapter in chapters)


def _contents(archive: Archive, folder: str, manifest: dict[str, etree._Element]) -> dict[str, str]:
    """The name of each chapter, by its part."""
    found: dict[str, str] = {}
    for item in manifest.values():
        part = _join(folder, item.get("href") or "")
        if part not in archive:
            continue
        inner = posixpath.dirname(part)
        if item.get("media-type") == "application/x-dtbncx+xml":
            for point in parse(archive.read(part)).iter(etree.Element):
                if local(point) == "navPoint":
                    children = {local(child): child for child in point}
                    if "content" in children and "navLabel" in children:
                        found.setdefault(_join(inner, children["content"].get("src") or ""), text_of(children["navLabel"]))
        elif "nav" in (item.get("properties") or "").split():
            for link in parse(archive.read(part)).iter(etree.Element):
                if local(link) == "a" and link.get("href"):
                    found.setdefault(_join(inner, link.get("href") or ""), text_of(link))
    return found


def _properties(package: etree._Element) -> dict[str, str]:
    found: dict[str, str] = {}
    for one in package.iter(etree.Element):
        if (name := _PROPERTIES.get(local(one))) and (text := text_of(one).strip()):
            found.setdefault(name, text)
    return found
