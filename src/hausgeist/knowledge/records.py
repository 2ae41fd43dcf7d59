"""Rows of documents and vector stores: the tables as they are read here (migration 0006 made them), and the values that callers get.

A store belongs to a project; so do documents, and every query says so: what belongs to another project is not found rather than refused.

```
vector_stores 1 - n store_files n - 1 files          a file that was attached: its status, its attributes
vector_stores 1 - n entries     n - 1 documents      what is searched: a document cut into passages; files of the same bytes share it
entries       1 - n passages                         places in the document's text
documents     1 - n document_parts, document_pages   the text, and where its lines stand
```
The passages of an entry are written in one transaction, so their numbers follow one another: `entries.first` to `last`. `vector_stores.mark`
is the highest number that a store ever had, which its indexes reach. An entry goes with the last file that has it, a document with the last file
of its bytes, and what they leave in `forgotten_passages` is what the indexes have still to forget: triggers see to it, however a file goes.
`entries.like`: an older version of the file, whose vectors serve where the text is the same. `vector_stores.gone`: it was deleted, and is being
removed.
"""

from __future__ import annotations

import secrets

from sqlalchemy import Column, Float, Integer, LargeBinary, MetaData, Table, Text

__all__ = ["document_pages", "document_parts", "documents", "entries", "file_batches", "forgotten_passages", "metadata", "new_id", "passages",
           "store_files", "vector_stores"]  # fmt: skip

metadata = MetaData()

vector_stores = Table(
    "vector_stores",
    metadata,
    Column("id", Text, primary_key=True),
    Column("project", Text, nullable=False),
    Column("user", Text, nullable=False),
    Column("created", Float, nullable=False),
    Column("active", Float, nullable=False),
    Column("name", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("metadata", Text, nullable=False),
    Column("expires_days", Integer),
    Column("embedder", Text, nullable=False),
    Column("mark", Integer, nullable=False),
    Column("gone", Integer, nullable=False),
)
documents = Table(
    "documents",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("project", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("parser", Text, nullable=False),
    Column("created", Float, nullable=False),
    Column("media_type", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("properties", Text, nullable=False),
    Column("warnings", Text, nullable=False),
    Column("characters", Integer, nullable=False),
    Column("pages", Integer, nullable=False),
    Column("structure", LargeBinary, nullable=False),
)
document_parts = Table(
    "document_parts",
    metadata,
    Column("document", Integer, primary_key=True),
    Column("start", Integer, primary_key=True),
    Column("text", Text, nullable=False),
)
document_pages = Table(
    "document_pages",
    metadata,
    Column("document", Integer, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("start", Integer, nullable=False),
    Column("end", Integer, nullable=False),
    Column("width", Float, nullable=False),
    Column("height", Float, nullable=False),
    Column("label", Text, nullable=False),
    Column("recognised", Integer, nullable=False),
    Column("lines", LargeBinary, nullable=False),
)
entries = Table(
    "entries",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("store", Text, nullable=False),
    Column("document", Integer, nullable=False),
    Column("chunking", Text, nullable=False),
    Column("passages", Integer, nullable=False),
    Column("bytes", Integer, nullable=False),
    Column("first", Integer, nullable=False),
    Column("last", Integer, nullable=False),
    Column("like", Integer),
)
passages = Table(
    "passages",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("entry", Integer, nullable=False),
    Column("number", Integer, nullable=False),
    Column("start", Integer, nullable=False),
    Column("end", Integer, nullable=False),
    Column("page", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    Column("language", Text, nullable=False),
    Column("heading", Text, nullable=False),
    Column("tokens", Integer, nullable=False),
    Column("digest", LargeBinary, nullable=False),
)
forgotten_passages = Table(
    "forgotten_passages",
    metadata,
    Column("store", Text, primary_key=True),
    Column("passage", Integer, primary_key=True),
)
store_files = Table(
    "store_files",
    metadata,
    Column("store", Text, primary_key=True),
    Column("file", Text, primary_key=True),
    Column("created", Float, nullable=False),
    Column("status", Text, nullable=False),
    Column("error", Text),
    Column("attributes", Text, nullable=False),
    Column("chunking", Text, nullable=False),
    Column("batch", Text),
    Column("entry", Integer),
    Column("replaces", Text),
    Column("started", Float),
    Column("done", Integer, nullable=False),
    Column("total", Integer, nullable=False),
)
file_batches = Table(
    "file_batches",
    metadata,
    Column("id", Text, primary_key=True),
    Column("store", Text, nullable=False),
    Column("created", Float, nullable=False),
    Column("cancelled", Integer, nullable=False),
)


def new_id(prefix: str) -> str:
    """`prefix`: "vs_", "vsfb_"."""
    return prefix + secrets.token_hex(12)
