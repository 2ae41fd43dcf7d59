"""What every index of words must do. A suite for one is a class derived from `TextIndexSuite` that says how it is opened."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from hausgeist.knowledge.index.base import Found, TextEntry, TextIndex

PAPERS = {
    1: ("de", "Der Mietvertrag beginnt am 03.05.2026 und läuft zwei Jahre. Die Kaution beträgt 1.234,50 Euro.", "Vertrag > Dauer", "miete.pdf"),
    2: ("de", "Die Kündigungsfrist beträgt drei Monate zum Ende eines Quartals.", "Vertrag > Kündigung", "miete.pdf"),
    3: ("en", "The lease may be ended with three months of notice; see clause A-12/34.", "Lease > Termination", "lease.docx"),
    4: ("en", "Payments are due on May 3, 2026, and amount to 1,234.50 euros.", "Payments", "invoice-2026.pdf"),
    5: ("en", "The washing machine is in the cellar. Do not open the door while it runs.", "House rules", "house.md"),
    6: ("ja", "契約は二年間有効です。東京都の不動産に適用されます。", "", "keiyaku.txt"),
    7: ("th", "สัญญาเช่าสิ้นสุดเมื่อครบสองปี", "", "thai.txt"),
    8: ("hi", "अनुबंध दो वर्ष के बाद समाप्त होता है और किराया मासिक है।", "", "hindi.txt"),
    9: ("en", "Open the window, then close the door. The cellar is dry.", "House rules", "house.md"),
}


def papers() -> list[TextEntry]:
    return [TextEntry(one, one % 4, text, language, heading, name) for one, (language, text, heading, name) in PAPERS.items()]


class TextIndexSuite:
    def opened(self, folder: Path) -> TextIndex:
        """The index of a folder, empty the first time."""
        raise NotImplementedError

    @pytest.fixture
    def index(self, tmp_path: Path) -> TextIndex:
        index = self.opened(tmp_path / "words")
        index.add(papers())
        index.commit(7)
        return index

    def test_an_empty_one_finds_nothing(self, tmp_path: Path) -> None:
        index = self.opened(tmp_path / "words")
        assert index.mark == 0
        assert list(index.search("anything at all", 10)) == []
        index.close()

    def test_what_was_committed_is_found_and_nothing_before(self, tmp_path: Path) -> None:
        index = self.opened(tmp_path / "words")
        index.add(papers())
        assert list(index.search("washing machine", 10, language="en")) == []
        index.commit(3)
        assert index.mark == 3
        assert [one.id for one in index.search("washing machine", 10, language="en")] == [5]
        index.close()

    def test_it_is_there_when_it_is_opened_again(self, tmp_path: Path) -> None:
        for mark in (1, 2):
            index = self.opened(tmp_path / "words")
            assert index.mark == mark - 1
            index.add(papers()[mark : mark + 1])
            index.commit(mark)
            index.close()
        index = self.opened(tmp_path / "words")
        assert index.mark == 2
        assert first(index.search("notice of the lease", 5, language="en")) == 3
        index.add(papers()[4:5])
        index.close()
        index = self.opened(tmp_path / "words")
        assert list(index.search("washing machine", 10, language="en")) == [], "what was not committed is not there"
        index.close()

    @pytest.mark.parametrize(
        ("language", "query", "expected"),
        [
            ("de", "Wie lange ist die Frist der Kündigungen?", 2),
            ("de", "Mietverträge", 1),
            ("de", "Wann beginnt der Vertrag?", 1),
            ("en", "How many months of notice end a lease?", 3),
            ("en", "doors of washing machines", 5),
            ("ja", "東京の契約", 6),
            ("th", "สัญญาสิ้นสุด", 7),
            ("hi", "किराया मासिक", 8),
            ("de", "Kuendigungsfrist", 2),
            ("de", "LÄUFT ZWEI JAHRE", 1),
            ("und", "washing machine", 5),
            ("en", "washign machne", 5),
        ],
    )
    def test_words_are_found_in_their_forms(self, index: TextIndex, language: str, query: str, expected: int) -> None:
        assert first(index.search(query, 5, language=language)) == expected

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ("1234.50", {1, 4}), ("1.234,50 Euro", {1, 4}), ("2026-05-03", {1, 4}), ("3. Mai 2026", {1, 4}), ("A-12/34", {3}),
            ("clause a 12/34", {3}),
        ],
    )  # fmt: skip
    def test_figures_are_found_however_they_are_written(self, index: TextIndex, query: str, expected: set[int]) -> None:
        assert {one.id for one in index.search(query, len(expected), language="en")} == expected

    def test_a_phrase_in_quotation_marks_stands_so(self, index: TextIndex) -> None:
        assert {one.id for one in index.search('"the door"', 10, language="en")} == {5, 9}
        assert {one.id for one in index.search('"open the door"', 10, language="en")} == {5}
        assert {one.id for one in index.search("cellar “close the door”", 10, language="en")} == {9}
        assert first(index.search('"a phrase of the cellar that is nowhere"', 10, language="en")) in {5, 9}, "what is near is better than nothing"

    def test_headings_and_names_of_files_are_searched(self, index: TextIndex) -> None:
        assert first(index.search("termination", 5, language="en")) == 3
        assert first(index.search("invoice", 5, language="en")) == 4

    def test_a_question_in_one_language_finds_names_and_figures_in_another(self, index: TextIndex) -> None:
        assert first(index.search("What is the Kaution?", 5, language="en")) == 1
        assert first(index.search("combien fait 1234,5 ?", 2, language="fr")) in {1, 4}

    def test_only_some_entries_are_searched(self, index: TextIndex) -> None:
        assert {one.id for one in index.search("cellar door", 10, language="en", entries={1})} == {5, 9}
        assert list(index.search("cellar door", 10, language="en", entries={2, 3})) == []
        assert list(index.search("cellar door", 10, language="en", entries=set())) == []
        assert {one.id for one in index.search("cellar door", 1, language="en", entries=set(range(1, 40_000)))} <= {5, 9}
        assert list(index.search("cellar door", 3, language="en", entries=set(range(2, 40_000)))) == []

    def test_a_passage_is_replaced_and_removed(self, index: TextIndex) -> None:
        index.add([TextEntry(5, 1, "The dryer stands upstairs.", "en", "", "house.md")])
        index.remove([9])
        index.commit(8)
        assert list(index.search("cellar", 10, language="en")) == []
        assert [one.id for one in index.search("dryer", 10, language="en")] == [5]
        index.remove([5, 99])
        index.commit(9)
        assert list(index.search("dryer", 10, language="en")) == []
        assert index.mark == 9

    @pytest.mark.parametrize(
        "query", ["", "   ", '"', '""', "“”", "?!", "*", "a:b AND (", "\x00", "€", "🙂", "x" * 100_000, "the of and", "-cellar", '"' * 999]
    )
    def test_no_query_is_too_odd(self, index: TextIndex, query: str) -> None:
        assert all(one.id in PAPERS for one in index.search(query, 3))

    def test_odd_passages_are_taken(self, index: TextIndex) -> None:
        odd = ["", " ", "\x00\x00", "x" * 300_000, "\ud7ff\uffff", "= = =1234 " * 2_000, "a\u0301" * 500]
        index.add(TextEntry(100 + number, 1, text, "und", text, text) for number, text in enumerate(odd))
        index.commit(20)
        assert first(index.search("washing machine", 5, language="en")) == 5

    def test_more_is_better_and_the_limit_holds(self, index: TextIndex) -> None:
        found = index.search("cellar door window", 2, language="en")
        assert [one.id for one in found] == [9, 5]
        assert found[0].score > found[1].score > 0
        assert len(index.search("cellar door", 1, language="en")) == 1
        assert list(index.search("cellar door", 0, language="en")) == []

    def test_others_read_while_one_writes(self, index: TextIndex) -> None:
        stop, wrong = threading.Event(), []

        def read() -> None:
            while not stop.is_set():
                if first(index.search("washing machine", 3, language="en")) != 5:
                    wrong.append("not found")

        readers = [threading.Thread(target=read) for _ in range(3)]
        for reader in readers:
            reader.start()
        for mark in range(10, 16):
            index.add(TextEntry(mark * 100 + number, mark, f"Other words, number {number}.", "en") for number in range(50))
            index.commit(mark)
        stop.set()
        for reader in readers:
            reader.join(20)
        assert not wrong
        index.close()


def first(found: object) -> int:
    its: list[Found] = list(found)  # type: ignore[call-overload]
    return its[0].id if its else 0
