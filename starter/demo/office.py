"""Small writers of DOCX and XLSX: enough for minutes with a table, and for a price list. No library, the same bytes each time."""

# ruff: noqa: E501

from __future__ import annotations

import zipfile
from html import escape
from io import BytesIO

__all__ = ["docx", "xlsx"]

_HEAD = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
_RELATIONS = "http://schemas.openxmlformats.org/package/2006/relationships"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
_SHEET = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_WHEN = (2026, 1, 1, 0, 0, 0)

Block = tuple[str, str] | list[list[str]]


def docx(blocks: list[Block], *, title: str, author: str) -> bytes:
    """Blocks: ("Title" | "Heading1" | "Heading2" | "" | "List", text), or a table as rows of cells."""
    body = "".join(_table(block) if isinstance(block, list) else _paragraph(*block) for block in blocks)
    styles = "".join(
        f'<w:style w:type="paragraph" w:styleId="{name}"><w:name w:val="{label}"/><w:pPr>{outline}</w:pPr><w:rPr><w:b/><w:sz w:val="{size}"/></w:rPr>'
        "</w:style>"
        for name, label, outline, size in (
            ("Title", "Title", "", 36), ("Heading1", "heading 1", '<w:outlineLvl w:val="0"/>', 28),
            ("Heading2", "heading 2", '<w:outlineLvl w:val="1"/>', 24),
        )
    )  # fmt: skip
    core = (
        '<cp:coreProperties xmlns:cp="http://schemas.openxmlformats.org/package/2006/metadata/core-properties" '
        'xmlns:dc="http://purl.org/dc/elements/1.1/">'
        f"<dc:title>{escape(title)}</dc:title><dc:creator>{escape(author)}</dc:creator></cp:coreProperties>"
    )
    kind = "application/vnd.openxmlformats-officedocument.wordprocessingml"
    return _packed({
        "[Content_Types].xml": _types({"/word/document.xml": f"{kind}.document.main+xml", "/word/styles.xml": f"{kind}.styles+xml",
                                       "/docProps/core.xml": "application/vnd.openxmlformats-package.core-properties+xml"}),
        "_rels/.rels": _links([(f"{_OFFICE}/officeDocument", "word/document.xml"),
                               ("http://schemas.openxmlformats.org/package/2006/relationships/metadata/core-properties", "docProps/core.xml")]),
        "word/_rels/document.xml.rels": _links([(f"{_OFFICE}/styles", "styles.xml")]),
        "word/document.xml": f'<w:document xmlns:w="{_WORD}"><w:body>{body}<w:sectPr><w:pgSz w:w="11906" w:h="16838"/></w:sectPr></w:body></w:document>',
        "word/styles.xml": f'<w:styles xmlns:w="{_WORD}">{styles}</w:styles>',
        "docProps/core.xml": core,
    })  # fmt: skip


def xlsx(sheets: dict[str, list[list[str | float]]]) -> bytes:
    """Sheets by name; numbers are numbers."""
    main = "application/vnd.openxmlformats-officedocument.spreadsheetml"
    parts: dict[str, str] = {}
    for number, rows in enumerate(sheets.values(), 1):
        lines = "".join(
            f'<row r="{line}">' + "".join(_cell(f"{chr(64 + column)}{line}", value) for column, value in enumerate(row, 1) if value != "") + "</row>"
            for line, row in enumerate(rows, 1)
        )
        parts[f"xl/worksheets/sheet{number}.xml"] = f'<worksheet xmlns="{_SHEET}"><sheetData>{lines}</sheetData></worksheet>'
    listed = "".join(f'<sheet name="{escape(name)}" sheetId="{number}" r:id="rId{number}"/>' for number, name in enumerate(sheets, 1))
    return _packed({
        "[Content_Types].xml": _types({"/xl/workbook.xml": f"{main}.sheet.main+xml", **{f"/{name}": f"{main}.worksheet+xml" for name in parts}}),
        "_rels/.rels": _links([(f"{_OFFICE}/officeDocument", "xl/workbook.xml")]),
        "xl/_rels/workbook.xml.rels": _links([(f"{_OFFICE}/worksheet", f"worksheets/sheet{number}.xml") for number in range(1, len(sheets) + 1)]),
        "xl/workbook.xml": f'<workbook xmlns="{_SHEET}" xmlns:r="{_OFFICE}"><sheets>{listed}</sheets></workbook>',
        **parts,
    })  # fmt: skip


def _paragraph(style: str, text: str) -> str:
    if style == "List":
        style, text = "", f"– {text}"
    named = f'<w:pPr><w:pStyle w:val="{style}"/></w:pPr>' if style else ""
    return f'<w:p>{named}<w:r><w:t xml:space="preserve">{escape(text)}</w:t></w:r></w:p>'


def _table(rows: list[list[str]]) -> str:
    grid = "".join('<w:gridCol w:w="2400"/>' for _ in rows[0])
    lines = "".join("<w:tr>" + "".join(f"<w:tc>{_paragraph('', cell)}</w:tc>" for cell in row) + "</w:tr>" for row in rows)
    return f'<w:tbl><w:tblPr><w:tblW w:w="0" w:type="auto"/></w:tblPr><w:tblGrid>{grid}</w:tblGrid>{lines}</w:tbl>'


def _cell(place: str, value: str | float) -> str:
    if isinstance(value, str):
        return f'<c r="{place}" t="inlineStr"><is><t xml:space="preserve">{escape(value)}</t></is></c>'
    return f'<c r="{place}"><v>{value}</v></c>'


def _types(parts: dict[str, str]) -> str:
    named = "".join(f'<Override PartName="{name}" ContentType="{kind}"/>' for name, kind in parts.items())
    return (
        '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Default Extension="xml" ContentType="application/xml"/>{named}</Types>'
    )


def _links(targets: list[tuple[str, str]]) -> str:
    listed = "".join(f'<Relationship Id="rId{number}" Type="{kind}" Target="{target}"/>' for number, (kind, target) in enumerate(targets, 1))
    return f'<Relationships xmlns="{_RELATIONS}">{listed}</Relationships>'


def _packed(parts: dict[str, str]) -> bytes:
    out = BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in parts.items():
            archive.writestr(zipfile.ZipInfo(name, _WHEN), _HEAD + text, zipfile.ZIP_DEFLATED, 9)
    return out.getvalue()
