"""Files of every format, made by hand: archives of XML, compound files, mails."""

from __future__ import annotations

import io
import itertools
import struct
import zipfile
from collections.abc import Mapping

from hausgeist.knowledge.parse.base import Limits, Unreadable
from hausgeist.knowledge.parse.reading import read
from hausgeist.knowledge.parsed import Parsed
from tests.unit.knowledge.parse.invariants import check

__all__ = ["book", "compound", "docx", "ends_well", "kinds", "odf", "parsed", "pptx", "texts", "xlsx", "zipped"]

R = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
W = f'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main" xmlns:r="{R}"'
P = (
    'xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main" '
    f'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main" xmlns:r="{R}"'
)
S = f'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" xmlns:r="{R}"'


def parsed(data: bytes, name: str = "file", limits: Limits | None = None) -> Parsed:
    return check(read(data, name, limits or Limits()))


def ends_well(data: bytes, name: str = "x", limits: Limits | None = None) -> None:
    """A `Parsed` that keeps its promises, or `Unreadable` with a reason; nothing else."""
    try:
        parsed(data, name, limits)
    except Unreadable as error:
        said = error.message
    else:
        return
    assert said.strip()


def kinds(one: Parsed) -> list[tuple[str, str]]:
    return [(block.kind, one.text[block.start : block.end]) for block in one.blocks]


def texts(one: Parsed, kind: str) -> list[str]:
    return [text for found, text in kinds(one) if found == kind]


def zipped(parts: Mapping[str, str | bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def _relations(targets: Mapping[str, tuple[str, str]]) -> str:
    inner = "".join(f'<Relationship Id="{name}" Type="{R}/{kind}" Target="{target}"/>' for name, (kind, target) in targets.items())
    return f'<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">{inner}</Relationships>'


def _office(main: str, kind: str, parts: Mapping[str, str | bytes], relations: Mapping[str, tuple[str, str]]) -> bytes:
    folder, _, name = main.rpartition("/")
    types = f'<Types><Override PartName="/{main}" ContentType="application/vnd.openxmlformats-officedocument.{kind}.main+xml"/></Types>'
    return zipped(
        {
            "[Content_Types].xml": types,
            "_rels/.rels": _relations({"rId1": ("officeDocument", main)}),
            f"{folder}/_rels/{name}.rels": _relations(relations),
            **parts,
        }
    )


def docx(body: str, parts: Mapping[str, str | bytes] | None = None, relations: Mapping[str, tuple[str, str]] | None = None) -> bytes:
    document = f"<w:document {W}><w:body>{body}</w:body></w:document>"
    return _office("word/document.xml", "wordprocessingml.document", {"word/document.xml": document, **(parts or {})}, relations or {})


def pptx(
    slides: list[str],
    parts: Mapping[str, str | bytes] | None = None,
    attributes: str = "",
    related: Mapping[int, Mapping[str, tuple[str, str]]] | None = None,
) -> bytes:
    identifiers = "".join(f'<p:sldId id="{256 + number}" r:id="rId{number}"/>' for number in range(1, len(slides) + 1))
    inner: dict[str, str | bytes] = {
        "ppt/presentation.xml": f'<p:presentation {P}><p:sldIdLst>{identifiers}</p:sldIdLst><p:sldSz cx="9144000" cy="6858000"/></p:presentation>'
    }
    for number, slide in enumerate(slides, 1):
        inner[f"ppt/slides/slide{number}.xml"] = f"<p:sld {P} {attributes}><p:cSld><p:spTree>{slide}</p:spTree></p:cSld></p:sld>"
        if related and number in related:
            inner[f"ppt/slides/_rels/slide{number}.xml.rels"] = _relations(related[number])
    relations = {f"rId{number}": ("slide", f"slides/slide{number}.xml") for number in range(1, len(slides) + 1)}
    return _office("ppt/presentation.xml", "presentationml.presentation", {**inner, **(parts or {})}, relations)


def xlsx(
    sheets: Mapping[str, str],
    strings: list[str] | None = None,
    parts: Mapping[str, str | bytes] | None = None,
    hidden: tuple[str, ...] = (),
    related: Mapping[int, Mapping[str, tuple[str, str]]] | None = None,
    properties: str = "",
) -> bytes:
    names = "".join(
        f'<sheet name="{name}" sheetId="{n}" r:id="rId{n}"{" state=%shidden%s" % ((chr(34),) * 2) if name in hidden else ""}/>'
        for n, name in enumerate(sheets, 1)
    )
    inner: dict[str, str | bytes] = {
        "xl/workbook.xml": f"<workbook {S}>{properties}<sheets>{names}</sheets></workbook>",
        "xl/sharedStrings.xml": f"<sst {S}>{''.join(f'<si>{text}</si>' for text in strings or [])}</sst>",
    }
    for number, rows in enumerate(sheets.values(), 1):
        inner[f"xl/worksheets/sheet{number}.xml"] = f"<worksheet {S}>{rows}</worksheet>"
        if related and number in related:
            inner[f"xl/worksheets/_rels/sheet{number}.xml.rels"] = _relations(related[number])
    relations = {f"rId{number}": ("worksheet", f"worksheets/sheet{number}.xml") for number in range(1, len(sheets) + 1)}
    relations |= {"rIdS": ("sharedStrings", "sharedStrings.xml"), "rIdT": ("styles", "styles.xml")}
    return _office("xl/workbook.xml", "spreadsheetml.sheet", {**inner, **(parts or {})}, relations)


def odf(kind: str, body: str, styles: str = "", parts: Mapping[str, str | bytes] | None = None) -> bytes:
    names = " ".join(
        f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"' for name in ("office", "text", "table", "style", "presentation")
    )
    names += (
        ' xmlns:draw="urn:oasis:names:tc:opendocument:xmlns:drawing:1.0" '
        'xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:xlink="http://www.w3.org/1999/xlink"'
    )
    content = (
        f"<office:document-content {names}><office:automatic-styles>{styles}</office:automatic-styles><office:body>"
        f"<office:{kind}>{body}</office:{kind}></office:body></office:document-content>"
    )
    return zipped(
        {"mimetype": f"application/vnd.oasis.opendocument.{kind}", "content.xml": content, "META-INF/manifest.xml": "<m/>", **(parts or {})}
    )


def book(chapters: Mapping[str, str], parts: Mapping[str, str | bytes] | None = None) -> bytes:
    items = "".join(f'<item id="c{n}" href="{name}" media-type="application/xhtml+xml"/>' for n, name in enumerate(chapters))
    order = "".join(f'<itemref idref="c{n}"/>' for n in range(len(chapters)))
    return zipped(
        {
            "mimetype": "application/epub+zip",
            "META-INF/container.xml": '<container><rootfiles><rootfile full-path="OEBPS/book.opf"/></rootfiles></container>',
            "OEBPS/book.opf": (
                '<package xmlns:dc="http://purl.org/dc/elements/1.1/"><metadata><dc:title>The '
                "Book</dc:title><dc:creator>A. Writer</dc:creator></metadata>"
                f'<manifest>{items}<item id="ncx" href="toc.ncx" media-type="application/x-dtbncx+xml"/></manifest><spine>{order}</spine></package>'
            ),
            "OEBPS/toc.ncx": "<ncx><navMap>"
            + "".join(
                f'<navPoint><navLabel><text>Chapter {n}</text></navLabel><content src="{name}"/></navPoint>' for n, name in enumerate(chapters, 1)
            )
            + "</navMap></ncx>",
            **{f"OEBPS/{name}": text for name, text in chapters.items()},
            **(parts or {}),
        }
    )


def compound(streams: Mapping[str, bytes]) -> bytes:
    """A compound file of sectors of 512 bytes; names with slashes are in storages."""
    entries: list[tuple[str, int, bytes | None]] = [("Root Entry", 5, None)]
    children: dict[int, list[int]] = {0: []}
    folders = {"": 0}
    for path, data in streams.items():
        *parents, name = path.split("/")
        parent = 0
        for depth in range(len(parents)):
            folder = "/".join(parents[: depth + 1])
            if folder not in folders:
                folders[folder] = len(entries)
                children[len(entries)] = []
                children[parent].append(len(entries))
                entries.append((parents[depth], 1, None))
            parent = folders[folder]
        children[parent].append(len(entries))
        entries.append((name, 2, data))
    sectors: list[bytes] = []
    table: list[int] = []

    def store(data: bytes) -> int:
        count = max(1, -(-len(data) // 512))
        start = len(sectors)
        sectors.extend(data[place * 512 : place * 512 + 512].ljust(512, b"\0") for place in range(count))
        table.extend([*range(start + 1, start + count), 0xFFFFFFFE])
        return start

    starts = [store(data) if data is not None else 0xFFFFFFFE for _, _, data in entries]
    free = 0xFFFFFFFF
    right = dict.fromkeys(range(len(entries)), free)
    for siblings in children.values():
        for one, following in itertools.pairwise(siblings):
            right[one] = following
    directory = b""
    for number, (name, kind, data) in enumerate(entries):
        raw = (name + "\0").encode("utf-16-le")
        child = children.get(number, [])
        directory += raw.ljust(64, b"\0") + struct.pack("<HBB3I", len(raw), kind, 1, free, right[number], child[0] if child else free)
        directory += b"\0" * 36 + struct.pack("<IQ", starts[number], len(data or b""))
    first_directory = store(directory)
    count = 1
    while (len(sectors) + count) > count * 128:
        count += 1
    places = list(range(len(sectors), len(sectors) + count))
    table += [0xFFFFFFFD] * count
    numbers = table + [free] * (count * 128 - len(table))
    sectors += [struct.pack("<128I", *numbers[place * 128 : place * 128 + 128]) for place in range(count)]
    # A cutoff of 0 puts every stream into full sectors, which readers must take from the header.
    header = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 16 + struct.pack("<5H", 0x3E, 3, 0xFFFE, 9, 6) + b"\0" * 10
    header += struct.pack("<9I", count, first_directory, 0, 0, 0xFFFFFFFE, 0, 0xFFFFFFFE, 0, *places[:1]) + struct.pack(
        "<108I", *(places[1:] + [free] * (109 - len(places)))
    )
    return header.ljust(512, b"\0") + b"".join(sectors)
