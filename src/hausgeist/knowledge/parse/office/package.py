"""The parts of an Office Open XML file and how they refer to each other. What a part refers to outside the file is not followed."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass

from lxml import etree

from hausgeist.knowledge.parse.archive import Archive
from hausgeist.knowledge.parse.base import Unreadable
from hausgeist.knowledge.parse.markup import attribute, local, parse, text_of

__all__ = ["Package", "Relation"]

_PROPERTIES = {
    "creator": "author", "lastModifiedBy": "last_author", "created": "created", "modified": "modified", "subject": "subject", "keywords":
    "keywords", "description": "description", "category": "category", "language": "language", "title": "title",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Relation:
    kind: str
    """The last part of the type's URI: `image`, `header`, `comments`."""
    target: str
    """The name of a part."""


class Package:
    """An archive with relations between its parts."""

    def __init__(self, archive: Archive) -> None:
        self.archive = archive
        self._relations: dict[str, dict[str, Relation]] = {}

    def main(self, usual: str) -> str:
        """The name of the part that is the document; `usual` where the file does not say."""
        for relation in self.relations("").values():
            if relation.kind == "officeDocument" and relation.target in self.archive:
                return relation.target
        if usual in self.archive:
            return usual
        raise Unreadable("The file has no document in it. Open it in its program and save it again.")

    def relations(self, part: str) -> dict[str, Relation]:
        """What a part refers to, by the identifiers that it uses; `""` for the file itself."""
        known = self._relations.get(part)
        if known is not None:
            return known
        folder, name = posixpath.split(part)
        found: dict[str, Relation] = {}
        path = posixpath.join(folder, "_rels", f"{name}.rels")
        if path in self.archive:
            for element in parse(self.archive.read(path)):
                if not isinstance(element.tag, str) or (element.get("TargetMode") or "").lower() == "external":
                    continue
                target = element.get("Target") or ""
                target = target.lstrip("/") if target.startswith("/") else posixpath.normpath(posixpath.join(folder, target))
                found[element.get("Id") or ""] = Relation((element.get("Type") or "").rpartition("/")[2], target)
        self._relations[part] = found
        return found

    def related(self, part: str, kind: str) -> list[str]:
        """Names of the parts of a kind that a part refers to and that are there."""
        return [relation.target for relation in self.relations(part).values() if relation.kind == kind and relation.target in self.archive]

    def xml(self, part: str) -> etree._Element:
        return parse(self.archive.read(part))

    def xml_or_none(self, part: str) -> etree._Element | None:
        """A part that adds to the document, but whose loss or damage is no reason to refuse it."""
        try:
            return self.xml(part) if part in self.archive else None
        except Unreadable:
            return None

    def properties(self) -> dict[str, str]:
        """What the file says of itself: author, title, dates."""
        parts = [*self.related("", "core-properties"), "docProps/core.xml"]
        root = self.xml_or_none(parts[0])
        found: dict[str, str] = {}
        for element in root if root is not None else ():
            if (name := _PROPERTIES.get(local(element))) and (text := text_of(element).strip()):
                found[name] = text
        return found

    def resolve(self, part: str, element: etree._Element, name: str = "id") -> str | None:
        """The part that an element refers to by a relation's identifier."""
        relation = self.relations(part).get(attribute(element, name) or "")
        return relation.target if relation is not None and relation.target in self.archive else None
