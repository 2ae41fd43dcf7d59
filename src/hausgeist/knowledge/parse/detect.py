"""What a file is, by its content. The name only decides between kinds of text that look alike (a table in a `.csv`, code in a `.py`)."""

from __future__ import annotations

import json
import re
from pathlib import Path, PurePath

from hausgeist.errors import shown
from hausgeist.knowledge.parse.archive import Archive
from hausgeist.knowledge.parse.base import Limits, Source, Unreadable
from hausgeist.knowledge.parse.encoding import decode, is_binary
from hausgeist.knowledge.parse.formats import READERS, SUFFIXES

__all__ = ["HEAD", "detect", "head_of"]

HEAD = 1 << 16
"""Bytes that a file is known by."""

_PICTURES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)

_FOREIGN = (
    (b"\x1f\x8b", "a gzip archive; unpack it and add what is in it"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive; unpack it and add what is in it"),
    (b"Rar!\x1a\x07", "a RAR archive; unpack it and add what is in it"),
    (b"BZh", "a bzip2 archive; unpack it and add what is in it"),
    (b"\xfd7zXZ\x00", "an xz archive; unpack it and add what is in it"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive; unpack it and add what is in it"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
    (b"\xca\xfe\xba\xbe", "a program"),
    (b"SQLite format 3\x00", "a SQLite database; export its tables as CSV"),
    (b"GGUF", "a model; 'hausgeist import' adds it to the library"),
    (b"ID3", "a sound recording, and those are not transcribed"),
    (b"OggS", "a sound recording, and those are not transcribed"),
    (b"fLaC", "a sound recording, and those are not transcribed"),
    (b"\x1aE\xdf\xa3", "a film"),
    (b"wOFF", "a font"),
    (b"\x00\x01\x00\x00\x00", "a font"),
    (b"!BDN", "an Outlook mailbox (PST); export its folders as MBOX or single mails"),
    (b"PAR1", "a Parquet table; export it as CSV"),
    (b"%!PS", "PostScript; print it to PDF"),
    (b"\xd7\xcd\xc6\x9a", "a drawing (WMF); export it as PDF"),
)

_FOREIGN_STARTS = tuple(signature for signature, _ in _FOREIGN)

_ZIPPED = (
    ("wordprocessingml", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    ("ms-word.document", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    ("ms-word.template", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    ("presentationml", "application/vnd.openxmlformats-officedocument.presentationml.presentation"),
    ("ms-powerpoint", "application/vnd.openxmlformats-officedocument.presentationml.presentation"),
    ("sheet.binary", "application/vnd.ms-excel.sheet.binary.macroenabled.12"),
    ("spreadsheetml", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    ("ms-excel", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
)

_CONTENT_TYPE = re.compile(
    r'ContentType\s*=\s*"application/vnd\.([^"]+?)\.main\+xml"|ContentType\s*=\s*"application/vnd\.([^"]*sheet\.binary[^"]*main)"'
)
_MAIL_FIELD = re.compile(
    r"^(from|to|cc|bcc|subject|date|received|return-path|message-id|mime-version|content-type|delivered-to|reply-to|x-[a-z0-9-]+|dkim-signature|sender|"
    r"content-transfer-encoding|in-reply-to|references|user-agent|importance|authentication-results|arc-[a-z-]+|list-[a-z-]+)[ \t]*:",
    re.IGNORECASE,
)
_FIELD = re.compile(r"^[!-9;-~]+[ \t]*:")
_HTML = re.compile(r"<(!doctype\s+html|html|head|body|table|div|p|h[1-6]|article|section|ul|ol|span|br|a|meta|title|style|script)\b", re.IGNORECASE)
_MARKDOWN = re.compile(r"^(#{1,6} \S|```|~~~|\|.*\|\s*$|[-*+] \S|\[[^\]]+\]: \S)|\[[^\]\n]+\]\([^)\n]+\)|\*\*[^*\n]+\*\*", re.MULTILINE)
_HEADING = re.compile(r"^#{1,6} \S", re.MULTILINE)


def detect(source: Source, filename: str, limits: Limits) -> str:
    """The media type, one of `READERS`. Raises `Unreadable`, saying what the file is, for what no reader knows."""
    head = source[:HEAD] if isinstance(source, bytes) else head_of(source)
    if not head:
        raise Unreadable("The file is empty.")
    found = _by_signature(source, head, limits)
    if found is None:
        if (kind := _foreign(head)) is not None:
            raise Unreadable(f"The file is {kind}.")
        if is_binary(head):
            raise Unreadable(f"The file '{shown(filename, 80)}' is neither text nor of a format that is read here. Save it as PDF, and add that.")
        found = _text(decode(head), SUFFIXES.get(PurePath(filename).suffix.lower(), ""), filename)
    assert found in READERS, found
    return found


def head_of(path: Path) -> bytes:
    """The first `HEAD` bytes of a file. Raises `Unreadable` where the disk does not give them."""
    try:
        with path.open("rb") as file:
            return file.read(HEAD)
    except OSError as error:
        raise Unreadable(f"The file could not be read from disk: {error.strerror or error}.") from error


def _by_signature(source: Source, head: bytes, limits: Limits) -> str | None:
    if head.startswith(b"PK\x03\x04") or head.startswith(b"PK\x05\x06"):
        return _zipped(source, limits)
    if head.startswith(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"):
        from hausgeist.knowledge.parse.legacy.compound import kind_of

        return kind_of(source, limits)
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{\\rt"):
        return "application/rtf"
    if b"%PDF-" in head[:1024]:
        return "application/pdf"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "image/webp"
    if head.startswith(b"BM") and len(head) > 26 and head[14:18] in {b"\x28\0\0\0", b"\x0c\0\0\0", b"\x6c\0\0\0", b"\x7c\0\0\0"}:
        return "image/bmp"
    if head[:2] == b"\x09\x08" and head[2:4] in {b"\x10\x00", b"\x08\x00"}:
        return "application/vnd.ms-excel"
    return next((media_type for signature, media_type in _PICTURES if head.startswith(signature)), None)


def _foreign(head: bytes) -> str | None:
    if head[4:8] == b"ftyp":
        brand = head[8:12]
        if brand in {b"heic", b"heix", b"mif1", b"avif"}:
            return "a picture in a format (HEIC or AVIF) that is not read here; save it as JPEG or PNG"
        return "a film or sound recording, and those are not transcribed"
    if head[257:262] == b"ustar":
        return "a tar archive; unpack it and add what is in it"
    if head.startswith(b"RIFF") and head[8:12] in {b"WAVE", b"AVI "}:
        return "a film or sound recording, and those are not transcribed"
    if head.startswith(b"bplist"):
        return "a property list of Apple's"
    if not head.startswith(_FOREIGN_STARTS):
        return None
    # A text may begin with the letters of a signature; a program, archive or film has zeros soon.
    sure = b"\x00" in head[:512] or is_binary(head)
    known = (kind for signature, kind in _FOREIGN if head.startswith(signature) and (sure or signature == b"%!PS" or not signature.isascii()))
    return next(known, None)


def _zipped(source: Source, limits: Limits) -> str:
    with Archive(source, limits) as archive:
        if "mimetype" in archive:
            declared = archive.read("mimetype")[:100].decode("ascii", "replace").strip().removesuffix("-template")
            if declared in READERS:
                if (
                    declared != "application/epub+zip"
                    and "META-INF/manifest.xml" in archive
                    and b"encryption-data" in archive.read("META-INF/manifest.xml")
                ):
                    raise Unreadable("The file is protected by a password; save it without one.")
                return declared
        if "[Content_Types].xml" in archive:
            types = archive.read("[Content_Types].xml").decode("utf-8", "replace")
            found = " ".join(one or other for one, other in _CONTENT_TYPE.findall(types)).lower()
            for part, media_type in _ZIPPED:
                if part in found:
                    return media_type
        if "META-INF/container.xml" in archive:
            return "application/epub+zip"
        if "content.xml" in archive:
            return "application/vnd.oasis.opendocument.text"
        for part, media_type in (("word/document.xml", _ZIPPED[0][1]), ("ppt/presentation.xml", _ZIPPED[3][1]), ("xl/workbook.xml", _ZIPPED[6][1])):
            if part in archive:
                return media_type
        if any(name.endswith(".iwa") for name in archive.names):
            raise Unreadable("The file is of Apple's Pages, Numbers or Keynote; export it as PDF, Word, Excel or PowerPoint.")
    raise Unreadable("The file is a ZIP archive; unpack it and add what is in it.")


def _text(text: str, named: str, filename: str) -> str:
    start = text.lstrip("\ufeff \t\r\n")
    if not start:
        raise Unreadable("The file holds nothing but white space.")
    if (mail := _mail(start, named)) is not None:
        return mail
    if start.startswith("{\\") and (named == "application/rtf" or re.match(r"\{\\(rtf|pard|ansi)\b", start)):
        return "application/rtf"
    if start.startswith("<"):
        if named in {"text/markdown", "text/x-source", "text/csv"}:
            return named
        return _angled(start, named)
    if named in {"text/x-source", "text/markdown", "text/html"}:
        return named
    if start[0] in "{[" and (data := _data(text, start, named)) is not None:
        return data
    if named in {"text/csv", "text/tab-separated-values"}:
        return named
    if start.startswith("#!") or PurePath(filename).name.lower() in {"makefile", "dockerfile", "cmakelists.txt", "jenkinsfile", "gemfile"}:
        return "text/x-source"
    if named == "text/plain":
        return named
    if _html_within(start):
        return "text/html"
    if _HEADING.search(start) and len(_MARKDOWN.findall(start)) >= 3:
        return "text/markdown"
    from hausgeist.knowledge.parse.plain.dialect import looks_like_table

    return "text/csv" if looks_like_table(text) else "text/plain"


def _mail(start: str, named: str) -> str | None:
    lines = start[:8192].splitlines()
    if lines[0].startswith("From ") and any(_FIELD.match(line) for line in lines[1:3]):
        return "application/mbox"
    if lines[0].startswith("From ") and named == "application/mbox":
        return "application/mbox"
    known: set[str] = set()
    for line in lines:
        if not line.strip():
            break
        if line[0] in " \t":
            continue
        if not _FIELD.match(line):
            return "message/rfc822" if named == "message/rfc822" and known else None
        if match := _MAIL_FIELD.match(line):
            known.add(match.group(1).lower())
    wanted = 1 if named == "message/rfc822" else 3
    return "message/rfc822" if len(known) >= wanted and (named in {"message/rfc822", "application/mbox", ""} or len(known) >= 4) else None


def _angled(start: str, named: str) -> str:
    head = start[:4096].lower()
    if "<!doctype html" in head or re.search(r"<html[\s>]", head) or named == "text/html":
        return "text/html"
    if head.startswith("<?xml") or named == "application/xml":
        return "application/xml"
    if _HTML.match(start) or len(_HTML.findall(start[:4096])) >= 3:
        return "text/html"
    if re.match(r"<[a-zA-Z_][\w.:-]*(\s[^<>]*)?/?>", start):
        return "application/xml"
    return named or "text/plain"


def _html_within(start: str) -> bool:
    head = start[:4096]
    return len(_HTML.findall(head)) >= 5 and "</" in head and bool(re.search(r"<(html|body|head)[\s>]", head, re.IGNORECASE))


def _data(text: str, start: str, named: str) -> str | None:
    lines = [line for line in text.splitlines()[:20] if line.strip()]
    whole = len(text) < HEAD // 4
    if not whole:
        lines = lines[:-1] or lines
    if len(lines) > 1 and all(_is_json(line) and line.lstrip()[0] in "{[" for line in lines):
        return "application/x-ndjson"
    if named in {"application/json", "application/x-ndjson"}:
        return named
    if whole:
        return "application/json" if _is_json(start) else None
    return "application/json" if re.match(r'[\[{]\s*(["\[{\d\-]|true|false|null)', start) else None


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
