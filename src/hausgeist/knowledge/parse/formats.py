"""The formats that are read: from media type to reader, from suffix to media type. Readers are loaded on use.

A reader is `read(source: Path | bytes, filename: str, limits: Limits) -> Parsed`; it blocks, keeps no state, and raises `Unreadable`.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["READERS", "SUFFIXES"]

_PARSE = "hausgeist.knowledge.parse"
_OOXML = "application/vnd.openxmlformats-officedocument"
_ODF = "application/vnd.oasis.opendocument"

READERS: Mapping[str, str] = {
    "application/pdf": f"{_PARSE}.pdf.reading:read",
    "image/png": f"{_PARSE}.images:read",
    "image/jpeg": f"{_PARSE}.images:read",
    "image/tiff": f"{_PARSE}.images:read",
    "image/gif": f"{_PARSE}.images:read",
    "image/bmp": f"{_PARSE}.images:read",
    "image/webp": f"{_PARSE}.images:read",
    f"{_OOXML}.wordprocessingml.document": f"{_PARSE}.office.word:read",
    f"{_OOXML}.presentationml.presentation": f"{_PARSE}.office.slides:read",
    f"{_OOXML}.spreadsheetml.sheet": f"{_PARSE}.office.sheets:read",
    "application/vnd.ms-excel.sheet.binary.macroenabled.12": f"{_PARSE}.legacy.sheets:read",
    f"{_ODF}.text": f"{_PARSE}.office.opendocument:read",
    f"{_ODF}.presentation": f"{_PARSE}.office.opendocument:read",
    f"{_ODF}.spreadsheet": f"{_PARSE}.office.opendocument:read",
    f"{_ODF}.graphics": f"{_PARSE}.office.opendocument:read",
    "application/msword": f"{_PARSE}.legacy.word:read",
    "application/vnd.ms-powerpoint": f"{_PARSE}.legacy.slides:read",
    "application/vnd.ms-excel": f"{_PARSE}.legacy.sheets:read",
    "application/rtf": f"{_PARSE}.legacy.rtf:read",
    "application/epub+zip": f"{_PARSE}.web.book:read",
    "text/html": f"{_PARSE}.web.html:read",
    "message/rfc822": f"{_PARSE}.mail.message:read",
    "application/mbox": f"{_PARSE}.mail.mailbox:read",
    "application/vnd.ms-outlook": f"{_PARSE}.mail.outlook:read",
    "application/json": f"{_PARSE}.plain.data:read",
    "application/x-ndjson": f"{_PARSE}.plain.data:read",
    "application/xml": f"{_PARSE}.plain.xml:read",
    "text/csv": f"{_PARSE}.plain.table:read",
    "text/tab-separated-values": f"{_PARSE}.plain.table:read",
    "text/markdown": f"{_PARSE}.plain.markdown:read",
    "text/plain": f"{_PARSE}.plain.text:read",
    "text/x-source": f"{_PARSE}.plain.source:read",
}

_CODE = [
    ".py", ".pyi", ".js", ".mjs", ".cjs", ".ts", ".tsx", ".jsx", ".java", ".kt", ".kts", ".c", ".h", ".cc", ".cpp", ".cxx", ".hpp", ".hh",
    ".cs", ".go", ".rs", ".rb", ".php", ".swift", ".scala", ".sh", ".bash", ".zsh", ".fish", ".ps1", ".bat", ".cmd", ".sql", ".r", ".m",
    ".lua", ".pl", ".pm", ".hs", ".ex", ".exs", ".erl", ".clj", ".dart", ".vue", ".svelte", ".css", ".scss", ".less", ".toml", ".ini",
    ".cfg", ".conf", ".yaml", ".yml", ".tf", ".gradle", ".cmake", ".make", ".mk", ".dockerfile", ".proto", ".graphql", ".tex", ".bib",
    ".diff", ".patch", ".jl", ".f90", ".pas", ".vb", ".asm", ".s",
]  # fmt: skip

SUFFIXES: Mapping[str, str] = {
    ".pdf": "application/pdf",
    ".docx": f"{_OOXML}.wordprocessingml.document",
    ".docm": f"{_OOXML}.wordprocessingml.document",
    ".dotx": f"{_OOXML}.wordprocessingml.document",
    ".pptx": f"{_OOXML}.presentationml.presentation",
    ".pptm": f"{_OOXML}.presentationml.presentation",
    ".ppsx": f"{_OOXML}.presentationml.presentation",
    ".potx": f"{_OOXML}.presentationml.presentation",
    ".xlsx": f"{_OOXML}.spreadsheetml.sheet",
    ".xlsm": f"{_OOXML}.spreadsheetml.sheet",
    ".xltx": f"{_OOXML}.spreadsheetml.sheet",
    ".xlsb": "application/vnd.ms-excel.sheet.binary.macroenabled.12",
    ".odt": f"{_ODF}.text",
    ".ott": f"{_ODF}.text",
    ".odp": f"{_ODF}.presentation",
    ".ods": f"{_ODF}.spreadsheet",
    ".odg": f"{_ODF}.graphics",
    ".rtf": "application/rtf",
    ".doc": "application/msword",
    ".ppt": "application/vnd.ms-powerpoint",
    ".xls": "application/vnd.ms-excel",
    ".html": "text/html",
    ".htm": "text/html",
    ".xhtml": "text/html",
    ".md": "text/markdown",
    ".markdown": "text/markdown",
    ".txt": "text/plain",
    ".text": "text/plain",
    ".log": "text/plain",
    ".rst": "text/plain",
    ".csv": "text/csv",
    ".tsv": "text/tab-separated-values",
    ".json": "application/json",
    ".jsonl": "application/x-ndjson",
    ".ndjson": "application/x-ndjson",
    ".xml": "application/xml",
    ".eml": "message/rfc822",
    ".mht": "message/rfc822",
    ".mhtml": "message/rfc822",
    ".msg": "application/vnd.ms-outlook",
    ".mbox": "application/mbox",
    ".epub": "application/epub+zip",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
    ".gif": "image/gif",
    ".bmp": "image/bmp",
    ".webp": "image/webp",
} | dict.fromkeys(_CODE, "text/x-source")
"""What people call their files: for walks through a folder, for messages, and to choose between kinds of text that look alike."""
