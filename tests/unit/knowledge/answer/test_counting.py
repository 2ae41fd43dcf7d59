"""Questions that count: all documents are read, what is counted is quoted, what is not understood is left to search."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from decimal import Decimal

import pytest

from hausgeist.cli.demo import PAPERS
from hausgeist.identity import LOCAL_OWNER, Principal
from hausgeist.knowledge.answer.counting.count import Counted, CountedDocument, CountedTable, count, is_counting
from hausgeist.knowledge.parse.base import Limits
from hausgeist.knowledge.parse.reading import read

WHO = LOCAL_OWNER


class Documents:
    """What a store would read from its database."""

    def __init__(self, documents: Iterable[CountedDocument], unread: int = 0) -> None:
        self._documents = documents
        self.unread = unread

    async def documents(self, who: Principal) -> AsyncIterator[CountedDocument]:
        for one in self._documents:
            yield one


def paper(filename: str, text: str) -> CountedDocument:
    return CountedDocument(file=f"file-{filename}", filename=filename, text=text)


def sheet(filename: str, *rows: str, label: str = "") -> CountedDocument:
    places, start = [], 0
    for row in rows:
        places.append((start, start + len(row)))
        start += len(row) + 1
    return CountedDocument(file=f"file-{filename}", filename=filename, text="\n".join(rows), tables=[CountedTable(places, 1, label)])


CONTRACTS = [
    paper("lease.pdf", "Lease agreement\n\nThis contract begins on 1 March 2024 and ends on 31 December 2026. The rent is 900 EUR."),
    paper("cleaning.docx", "Contract for cleaning\nSigned on 5 May 2025.\nTerm: 01/06/2025 - 31/05/2027"),
    paper("Mietvertrag_Müller.pdf", "Mietvertrag\nDas Mietverhältnis ist befristet bis zum 30. Juni 2026.\nDie Miete beträgt 1.250,00 €."),
    paper("contract-phone.txt", "Contract\nThe contract runs until further notice. Agreed in 2026."),
    paper("memo.txt", "The contract with the phone company ends on 1 May 2026, says Anna."),
]  # fmt: skip
INVOICES = [
    paper("R-1.pdf", "Meyer GmbH\nRechnung Nr. 2025-17\nDatum: 03.02.2025\nNetto 1.000,00 €\nMwSt 190,00 €\nGesamtbetrag: 1.190,00 €"),
    paper("R-2.pdf", "Schmidt KG\nRechnung\nDatum: 12.01.2026\nZwischensumme 5.000,00 €\nRechnungsbetrag\n400,00 €"),
    paper("inv-3.pdf", "INVOICE\nMeyer GmbH\nDate: 2026-03-05\nSubtotal $2,000.00\nTotal due: $2,100.50"),
    paper("inv-4.pdf", "Invoice\nfrom Meyer GmbH\nDate: 4 April 2026\nno amount here"),
]


async def counted(question: str, documents: Iterable[CountedDocument], unread: int = 0) -> Counted:
    answer = await count(question, WHO, Documents(documents, unread))
    assert answer is not None
    return answer


async def test_contracts_that_end_in_a_year_are_counted_and_quoted() -> None:
    answer = await counted("How many contracts end in 2026?", CONTRACTS + INVOICES)
    assert answer.matched == 2
    assert answer.documents == 9
    assert [place.filename for place in answer.places] == ["lease.pdf", "Mietvertrag_Müller.pdf"]
    assert "ends on 31 December 2026" in answer.places[0].quote
    assert "All 9 documents were read." in answer.text
    texts = {one.file: one.text for one in CONTRACTS}
    assert all(texts[place.file][place.start : place.end] == place.quote for place in answer.places)


@pytest.mark.parametrize(
    ("question", "matched"),
    [
        ("Wie viele Verträge laufen 2027 aus?", 1),
        ("Which contracts were signed or begin in 2024?", None),
        ("Which contracts begin in 2024?", 1),
        ("¿Cuántos contratos terminan antes del 1 de julio de 2026?", 1),
        ("Combien de contrats se terminent après le 1er juillet 2026 ?", 2),
    ],
)
async def test_ends_and_beginnings(question: str, matched: int | None) -> None:
    answer = await count(question, WHO, Documents(CONTRACTS))
    assert (answer.matched if answer else None) == matched


async def test_invoices_above_an_amount_and_what_could_not_be_told() -> None:
    answer = await counted("Wie viele Rechnungen über 1.000 Euro gibt es?", INVOICES)
    assert [place.filename for place in answer.places] == ["R-1.pdf"]
    assert "1 von 4 Rechnungen" in answer.text
    assert "Bei 2 davon" in answer.text  # One has dollars, one no amount.


async def test_sums_are_exact_and_never_mix_currencies() -> None:
    answer = await counted("What is the total of all invoices from Meyer?", CONTRACTS + INVOICES, unread=1)
    assert answer.sums == {"EUR": Decimal("1190.00"), "USD": Decimal("2100.50")}
    assert answer.text.startswith("Together: 1,190.00 EUR (1); 2,100.50 USD (1).")
    assert "1 document could not be read" in answer.text
    average = await counted("Wie hoch ist die durchschnittliche Höhe der Rechnungen aus 2025?", INVOICES)
    assert "1.190,00 EUR" in average.text


async def test_rows_of_a_sheet_are_counted_in_sql() -> None:
    book = sheet(
        "invoices.xlsx",
        "Customer\tDate\tAmount",
        "Meyer GmbH\t2025-03-01\t1.000,50 €",
        "Schmidt\t2025-04-01\t99,90 €",
        "Meyer GmbH\t2026-01-07\t2.000,00 €",
    )
    total = await counted("What is the total of all invoices from Meyer?", [book])
    assert (total.matched, total.sums) == (2, {"EUR": Decimal("3000.50")})
    assert [place.quote for place in total.places] == ["Meyer GmbH\t2025-03-01\t1.000,50 €", "Meyer GmbH\t2026-01-07\t2.000,00 €"]
    assert (await counted("How many invoices are there in 2025?", [book])).matched == 2
    assert (await counted("Wie viele Rechnungen unter 100 Euro?", [book])).matched == 1
    customers = sheet("customers.csv", "Customer\tCity", *(f"Customer {number}\t{'Berlin' if number % 3 == 0 else 'Ulm'}" for number in range(300)))
    assert (await counted("How many customers are from Berlin?", [customers])).matched == 100


async def test_a_sheet_that_does_not_tell_which_column_is_not_guessed() -> None:
    book = sheet("invoices.xlsx", "Customer\tAlpha\tBeta", "Meyer\t10\t20", "Meyer\t30\t40")
    answer = await counted("What is the total of all invoices?", [book])
    assert answer.sums == {}
    assert "could not be told" in answer.text


async def test_ten_thousand_documents_are_read_one_at_a_time() -> None:
    alive = 0
    most = 0

    class Counting(Documents):
        async def documents(self, who: Principal) -> AsyncIterator[CountedDocument]:
            nonlocal alive, most
            for number in range(1500):
                alive += 1
                most = max(most, alive)
                yield paper(f"r{number}.txt", f"Invoice {number}\nDate: 2026-01-05\nTotal: {number}.00 EUR\n" + "filler text\n" * 20)
                alive -= 1

    answer = await count("How many invoices over 999.50 euros?", WHO, Counting([]))
    assert answer is not None
    assert (answer.matched, answer.documents, most) == (500, 1500, 1)
    assert len(answer.places) == 100
    assert "and 470 more" in answer.text


@pytest.mark.parametrize(
    "question",
    [
        "How many points did the Panthers defense surrender?",
        "Wie viele Einwohner hat Berlin?",
        "Which contract ends first?",
        "How many invoices are not paid?",
        "What is the highest of all invoices?",
        "How many contracts per year do we sign?",
        "Who signed the contract?",
        "What does the contract say about notice?",
        "How many documents are PDF?",
        "How many PDF invoices are there?",
        "How many contracts are in German?",
        "Wie viele Verträge sind auf Deutsch?",
        "Wie viele deutsche Verträge gibt es?",
        "How many documents are in German?",
        "How many documents dated 2026 are there?",
        "How many documents are from 2026?",
        "Combien de kilomètres ?",
        "",
    ],
)
async def test_other_questions_are_left_to_search(question: str) -> None:
    assert not is_counting(question)
    assert await count(question, WHO, Documents(CONTRACTS)) is None


async def test_what_documents_say_may_be_the_name_of_a_language_or_a_format() -> None:
    papers = [paper("a.txt", "Contract\nThe German text prevails. A PDF is sent."), paper("b.txt", "Contract\nNothing of that.")]
    assert is_counting("How many invoices are from Deutsche Bank?")
    for question in ("How many contracts mention German?", "How many documents contain the word PDF?", 'How many contracts say "German"?'):
        assert (await counted(question, papers)).matched == 1, question


MAILS = [
    CountedDocument(
        file="file-1", filename="one.eml", media_type="message/rfc822",
        text="About the contract\n\nFrom: Orla Finnegan <orla@tidewater.example>\nTo: Bent Harksen <bent@halmberg.example>\n\nNothing of an order.",
    ),
    CountedDocument(
        file="file-2", filename="two.msg", media_type="application/vnd.ms-outlook", text="Order 7\n\nsent by hand\n\nGreetings, Bent\n\nA\tB\nc\td",
        tables=[CountedTable([(41, 44), (45, 48)], 1)],
    ),
    paper("three.txt", "From: Ida Quendt\nTo: Henrike Vosskamp\nSubject: roof\n\nThe roof is mended, says Orla."),
    paper("four.txt", "A report on mails\n\nFrom: is what a mail begins with, says Bent."),
    CountedDocument(file="file-5", filename="box.mbox", media_type="application/mbox", text="From: Bent\nTo: Bent\nSubject: x\n\nBent"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("question", "found"),
    [
        ("How many mails mention Bent?", ["one.eml", "two.msg"]),
        ("How many mails are from Orla?", ["one.eml"]),
        ("Wie viele Mails sind von Ida Quendt?", ["three.txt"]),
        ("How many mails to Bent?", ["one.eml"]),
        ("How many emails from Bent are there?", []),
        ("How many orders are there?", ["two.msg"]),
    ],
)
async def test_mails_are_told_by_what_the_file_is_or_by_their_heads(question: str, found: list[str]) -> None:
    answer = await counted(question, MAILS)
    assert [place.filename for place in answer.places] == found
    assert answer.matched == len(found)


async def test_mails_of_a_mailbox_are_not_counted_as_one() -> None:
    answer = await counted("How many mails mention Bent?", MAILS)
    assert "2 of 4 mails match." in answer.text
    assert "In 1 of them the date or amount could not be told; it is not counted." in answer.text


async def test_the_mails_of_the_demo() -> None:
    found = []
    for path in sorted(PAPERS.rglob("*.eml")) + sorted(PAPERS.rglob("*.md")) + sorted(PAPERS.rglob("*.csv")):
        parsed = read(path, path.name, Limits())
        found.append(CountedDocument(file=path.name, filename=path.name, text=parsed.text, media_type=parsed.media_type))
    answer = await counted("How many mails mention Bent?", found)
    assert answer.text.startswith("1 of 2 mails matches.")
    assert [place.quote for place in answer.places] == ["To: Bent Harksen <bent@roesterei-halmberg.example>"]


async def test_a_kind_that_is_not_there_is_left_to_search() -> None:
    assert is_counting("How many delivery notes mention steel?")
    assert await count("How many delivery notes mention steel?", WHO, Documents(CONTRACTS)) is None
