"""A document in its tables: what was put there is what comes out, however short or long it is."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import pytest
from sqlalchemy import Connection, select

from hausgeist.errors import HausgeistError
from hausgeist.knowledge.parsed import Block, Box, Line, Page, Parsed
from hausgeist.knowledge.records import documents
from hausgeist.knowledge.stores import texts
from hausgeist.store.database import Database
from hausgeist.workspace.records import projects


def made(paragraphs: int) -> Parsed:
    text, blocks, lines = "", [], []
    for number in range(paragraphs):
        start, said = len(text), f"Paragraph {number} says \u00e4\u6f22 something."
        text += said + "\n\n"
        blocks.append(Block("paragraph", start, start + len(said)))
        lines.append(Line(start, start + len(said), 1, Box(72.0, 10.0 * number, 300.5, 10.0 * number + 9)))
    blocks.append(Block("table", len(text), len(text) + 4, 0, ((len(text), len(text) + 2), (len(text) + 2, len(text) + 4)), 1))
    text += "a\tb\nc\td"
    return Parsed(
        text=text, blocks=tuple(blocks), pages=(Page(1, 0, len(text), 595.0, 842.0, "One"),), lines=tuple(lines), title="T",
        properties={"author": "\u00c5sa"}, warnings=["A sentence."],
    )  # fmt: skip


@pytest.mark.parametrize("paragraphs", [0, 1, 5, 3000])
def test_all_of_it_is_read_again(tmp_path: Path, paragraphs: int) -> None:
    database = Database.open(tmp_path)
    document = made(paragraphs)

    def write(connection: Connection) -> int:
        project = connection.execute(select(projects.c.id)).scalars().first()
        return texts.add_all(connection, [(str(project), "d" * 64, texts.pack(document, parser="p 1"))])[0]

    number = database.write_sync(write)
    assert database.read(lambda connection: texts.parsed(connection, number, lines=True)) == document
    paper = database.read(lambda connection: texts.paper(connection, number))
    assert (paper.parser, paper.characters, paper.pages, paper.media_type) == ("p 1", len(document.text), 1, "text/plain")
    # Those that were always compressed are read as well.
    packed = database.read(lambda connection: connection.execute(select(documents.c.structure)).scalar_one())
    whole = packed if packed.startswith(b"[") else zlib.decompress(packed)
    assert json.loads(whole)[-1][0] == "table"
    database.write_sync(lambda connection: connection.execute(documents.update().values(structure=zlib.compress(whole))))
    assert database.read(lambda connection: texts.parsed(connection, number, lines=True)) == document
    with pytest.raises(HausgeistError):
        database.write_sync(write)
    database.close()
