"""What has been counted, told: one is one, in four languages."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from hausgeist.identity import LOCAL_OWNER, Principal
from hausgeist.knowledge.answer.counting.count import CountedDocument, CountedTable, count


class Papers:
    def __init__(self, papers: list[CountedDocument], unread: int = 0) -> None:
        self._papers = papers
        self.unread = unread

    async def documents(self, who: Principal) -> AsyncIterator[CountedDocument]:
        for one in self._papers:
            yield one


def papers(*texts: str) -> list[CountedDocument]:
    return [CountedDocument(file=f"file-{number}", filename=f"{number}.txt", text=text) for number, text in enumerate(texts)]


async def told(question: str, found: list[CountedDocument], unread: int = 0) -> str:
    answer = await count(question, LOCAL_OWNER, Papers(found, unread))
    assert answer is not None, question
    return answer.text.partition("\n")[0]


KINDS = {
    "Order": ("How many orders are there?", "1 order. The one document was read."),
    "Insurance policy": ("How many policies are there?", "1 policy. The one document was read."),
    "Minutes of 3 May": ("How many minutes are there?", "1 minutes. The one document was read."),
    "Vertrag": ("Wie viele Verträge gibt es?", "1 Vertrag. Das eine Dokument wurde gelesen."),
    "Mietvertrag": ("Wie viele Mietverträge gibt es?", "1 Mietvertrag. Das eine Dokument wurde gelesen."),
    "Rechnung": ("Wie viele Rechnungen gibt es?", "1 Rechnung. Das eine Dokument wurde gelesen."),
    "Zeugnis": ("Wie viele Zeugnisse gibt es?", "1 Zeugnis. Das eine Dokument wurde gelesen."),
    "Angebot": ("Wie viele Angebote gibt es?", "1 Angebot. Das eine Dokument wurde gelesen."),
    "Police": ("Wie viele Policen gibt es?", "1 Police. Das eine Dokument wurde gelesen."),
    "Irgendetwas": ("Wie viele Dateien gibt es?", "1 Datei. Das eine Dokument wurde gelesen."),
    "Albarán": ("¿Cuántos albaranes hay?", "1 albarán. Se ha leído el único documento."),
    "Factura": ("¿Cuántas facturas hay?", "1 factura. Se ha leído el único documento."),
    "Bail": ("Combien de baux y a-t-il ?", "1 bail. Le seul document a été lu."),
    "Devis": ("Combien de devis y a-t-il ?", "1 devis. Le seul document a été lu."),
    "Facture": ("Combien de factures y a-t-il ?", "1 facture. Le seul document a été lu."),
}


@pytest.mark.parametrize("text", KINDS)
async def test_one_is_called_one(text: str) -> None:
    question, expected = KINDS[text]
    assert await told(question, papers(text)) == expected


@pytest.mark.parametrize(
    ("question", "title", "one", "many"),
    [
        ("How many orders mention tea?", "Order", "1 of 3 orders matches.", "2 of 3 orders match."),
        ("Wie viele Bestellungen erwähnen tea?", "Bestellung", "1 von 3 Bestellungen trifft zu.", "2 von 3 Bestellungen treffen zu."),
        ("¿Cuántos pedidos mencionan tea?", "Pedido", "Coincide 1 de 3 pedidos.", "Coinciden 2 de 3 pedidos."),
        ("Combien de commandes mentionnent tea ?", "Commande", "1 commande sur 3 correspond.", "2 commandes sur 3 correspondent."),
    ],
)
async def test_the_words_agree_with_the_number(question: str, title: str, one: str, many: str) -> None:
    assert (await told(question, papers(f"{title}\ntea", title, title))).startswith(one)
    assert (await told(question, papers(f"{title}\ntea", f"{title}\n\ntea, please", title))).startswith(many)


@pytest.mark.parametrize(
    ("question", "one", "many"),
    [
        ("How many orders are over 5 euros?", "1 row of 1 list matches.", "2 rows of 1 list match."),
        ("Wie viele Bestellungen über 5 Euro?", "1 Zeile aus 1 Liste trifft zu.", "2 Zeilen aus 1 Liste treffen zu."),
        ("¿Cuántos pedidos superiores a 5 euros?", "Coincide 1 fila de 1 lista.", "Coinciden 2 filas de 1 lista."),
        ("Combien de commandes supérieures à 5 euros ?", "1 ligne de 1 liste correspond.", "2 lignes de 1 liste correspondent."),
    ],
)
async def test_rows_and_lists(question: str, one: str, many: str) -> None:
    for amount, expected in ((1, one), (7, many)):
        rows = ["Name\tTotal EUR", f"Anna\t{amount},50", "Bert\t9,50"]
        places = [(at, at + len(row)) for row in rows for at in ["\n".join(rows).index(row)]]
        book = CountedDocument(
            file="file-1", filename="orders Bestellungen pedidos commandes.xlsx", text="\n".join(rows), tables=[CountedTable(places, 1)]
        )
        assert (await told(question, [book])).startswith(expected)


@pytest.mark.parametrize(
    ("question", "one", "two"),
    [
        ("How many invoices are over 5 euros?", "1 document could not be read.", "2 documents could not be read."),
        ("Wie viele Rechnungen über 5 Euro?", "1 Dokument war nicht lesbar.", "2 Dokumente waren nicht lesbar."),
        ("¿Cuántas facturas superiores a 5 euros?", "1 documento no se ha podido leer.", "2 documentos no se han podido leer."),
        ("Combien de factures supérieures à 5 euros ?", "1 document n'a pas pu être lu.", "2 documents n'ont pas pu être lus."),
    ],
)
async def test_what_could_not_be_read_is_said(question: str, one: str, two: str) -> None:
    found = papers("Invoice, Rechnung, factura, facture\nTotal: 7 EUR")
    assert (await told(question, found, 1)).endswith(one)
    assert (await told(question, found, 2)).endswith(two)
    assert "could" not in await told("How many invoices are over 5 euros?", found)
