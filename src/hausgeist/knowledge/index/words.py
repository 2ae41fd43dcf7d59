"""The index of words: `TextIndex` on tantivy. Text comes in as terms that `language` made; what is scored is BM25.

Three fields of a passage are searched:

- `terms`: stems, parts of compounds, numbers and codes in normal form; those of the headings and of the file's name are there as well, so that one
  list of postings answers for each term and the engine may skip what cannot come among the best;
- `exact`: all words as they are written, with their places, for phrases in quotation marks;
- `id` and `entry`: for removal, for filters, and to say what was found.

No text is stored. A document of its own holds the mark and how many passages there are of each language; it is replaced in the same commit.
"""

from __future__ import annotations

import json
import re
import shutil
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import lru_cache, partial
from itertools import islice
from math import log
from pathlib import Path
from typing import Any, Final, TypeVar

from hausgeist.errors import HausgeistError
from hausgeist.knowledge.index.base import Found, TextEntry
from hausgeist.knowledge.index.spelling import beginning, meant
from hausgeist.knowledge.language.detection import UNKNOWN, detect
from hausgeist.knowledge.language.terms import both, exact, words

__all__ = ["FORMAT", "Damaged", "Words", "WordsFound", "open_words"]

FORMAT: Final = 1
"""Of the fields and of the terms in them. An index of another format is built again."""

_T = TypeVar("_T")
_MEMORY: Final = 48_000_000
"""Bytes that the writer collects before it writes a segment."""
_AT_ONCE: Final = 1_000
"""Passages that are added or removed in one go."""
_MOST_TERMS: Final = 16
"""Terms of one language that a query is searched by: the rarest ones, which say most."""
_MOST_LANGUAGES: Final = 4
"""Of the store whose forms a question is looked for in."""
_MOST_EXPRESSED: Final = 32
"""Words of one phrase."""
_MEANT: Final = 0.7
"""What a term counts that may be meant by a word that stands nowhere."""
_MOST_CORRECTED: Final = 4
_NEIGHBOURS: Final = 400
"""Terms with the same beginning that are compared with such a word: the most frequent ones."""
_QUERY: Final = 2_000
"""Characters of a query that are read."""
_OTHER_LANGUAGE: Final = 0.6
"""What a term counts that only the forms of another language of the store have."""
_FIGURE: Final = 1.3
"""What a number, date or code counts: it is meant as it is written."""
_FEW: Final = 2_000
"""Entries that a search is limited to within the index; beyond, what was found is sifted."""
_QUOTED: Final = re.compile(r'"([^"]{1,300})"|„([^“”"]{1,300})[“”"]|“([^”]{1,300})”|«([^»]{1,300})»|»([^«]{1,300})«')
_META: Final = 0
"""The id of the document that holds the mark; passages count from 1."""


class Damaged(HausgeistError):
    """The index of words cannot be read. It is derived: remove its folder and build it again from the database."""


class WordsFound(list[Found]):
    """What was found, and the score that a passage of the query's own words would have: how sure the best is can be told from both."""

    possible: float = 0.0
    plain: bool = True
    """False: the query has a phrase in quotation marks, a number or a code, and the passages found have it."""


class Words:
    """One folder. Reading threads share a searcher; the writer is made when something is added, and memory goes with it at `close`."""

    def __init__(self, folder: Path, index: Any) -> None:
        self._folder = folder
        self._index = index
        self._schema = index.schema
        self._writer: Any = None
        self._lock = threading.Lock()
        self._mark, self._highest, self._languages = self._kept(self._read_meta)
        self._pending: Counter[str] = Counter(self._languages)

    @property
    def mark(self) -> int:
        return self._mark

    @property
    def languages(self) -> Sequence[str]:
        """Those that passages were added in, the most frequent first."""
        return [language for language, _ in self._languages.most_common()]

    @property
    def size(self) -> int:
        """Bytes on the disk."""
        return sum(path.stat().st_size for path in self._folder.iterdir() if path.is_file())

    def __len__(self) -> int:
        return max(0, int(self._index.searcher().num_docs) - (1 if self._mark or self._languages else 0))

    def add(self, passages: Iterable[TextEntry]) -> None:
        """From the next commit on they are found. A passage that is there already is replaced."""
        coming = iter(passages)
        with self._lock:
            while part := list(islice(coming, _AT_ONCE)):
                self._add({passage.id: passage for passage in part})

    def remove(self, ids: Collection[int]) -> None:
        with self._lock:
            self._remove([one for one in ids if 0 < one <= self._highest])

    def commit(self, mark: int) -> None:
        """What was added and removed is found from now on and stands on the disk."""
        import tantivy

        with self._lock:
            writer = self._writing()
            self._remove([_META])
            document = tantivy.Document()
            document.add_unsigned("id", _META)
            document.add_unsigned("entry", 0)
            document.add_text("meta", json.dumps({"mark": mark, "highest": self._highest, "languages": self._pending}))
            writer.add_document(document)
            self._kept(writer.commit)
            self._kept(self._index.reload)
            self._mark, self._languages = mark, Counter(self._pending)

    def _add(self, passages: Mapping[int, TextEntry]) -> None:
        import tantivy

        writer = self._writing()
        if min(passages) <= _META or any(passage.entry < 0 for passage in passages.values()):
            raise ValueError("ids of passages count from 1, those of entries from 0")
        # Numbers grow, so most are new; to look for what they replace would cost more than to add them.
        self._remove([one for one in passages if one <= self._highest])
        self._highest = max(self._highest, *passages)
        for passage in passages.values():
            document = tantivy.Document()
            document.add_unsigned("id", passage.id)
            document.add_unsigned("entry", passage.entry)
            terms, written = passage.terms or map(" ".join, both(passage.text, passage.language))
            document.add_text("terms", " ".join([terms, *_above(passage.heading, passage.filename, passage.language)]))
            document.add_text("exact", written)
            self._kept(partial(writer.add_document, document))
            self._pending[passage.language] += 1

    def _remove(self, ids: Sequence[int]) -> None:
        from tantivy import Query

        # Not `delete_documents_by_term`: for numbers it makes a term of another type and finds nothing (tantivy-py 0.27).
        for start in range(0, len(ids), _AT_ONCE):
            query = Query.term_set_query(self._schema, "id", list(ids[start : start + _AT_ONCE]))
            self._kept(partial(self._writing().delete_documents_by_query, query))

    def search(self, query: str, limit: int, *, language: str = "und", entries: Collection[int] | None = None) -> WordsFound:
        """The best first. `query`: what a person wrote, with "exact phrases" in quotation marks; `entries`: only in these."""
        if limit < 1 or (entries is not None and not entries):
            return WordsFound()
        return self._kept(lambda: self._search(query[:_QUERY], limit, language, entries))

    def close(self) -> None:
        """Waits for what is being merged. What was not committed is dropped."""
        with self._lock:
            if self._writer is not None:
                writer, self._writer = self._writer, None
                self._kept(writer.rollback)
                self._kept(writer.wait_merging_threads)

    def _search(self, query: str, limit: int, language: str, entries: Collection[int] | None) -> WordsFound:
        found = WordsFound()
        searcher = self._index.searcher()
        phrases = [next(filter(None, match.groups())) for match in _QUOTED.finditer(query)]
        weights, found.possible = self._weights(query, language, searcher)
        if not weights:
            return found
        asked = self._asked(weights)
        if phrases and (must := self._phrases(phrases)):
            hits = self._run(searcher, [*must, *asked], limit, entries)
            if hits:
                found.plain = False
                found.extend(hits)
                return found
        found.extend(self._run(searcher, asked, limit, entries))
        return found

    def _weights(self, query: str, language: str, searcher: Any) -> tuple[dict[str, float], float]:
        """The terms to look for and what each counts; and the score of a passage that has each once."""
        if language == UNKNOWN:
            language = detect(query)
        known = self.languages
        # A question in a language that no passage is in can still be about their names and numbers; then all are asked alike.
        foreign = language not in known and bool(known)
        weights: dict[str, float] = {}
        possible = added = 0.0
        for one in dict.fromkeys([language, *known[:_MOST_LANGUAGES]]):
            counted: dict[str, float] = {}
            for term, times in Counter(words(query, one, asked_in=language)).items():
                counted[term] = (_FIGURE if term.startswith("=") else 1.0) * min(times, 2) ** 0.5
            idf = {term: _idf(searcher, term) for term in counted}
            if one == language or foreign:
                possible = max(possible, sum(counted[term] * idf[term] for term in counted))
            worth = 1.0 if one == language or foreign else _OTHER_LANGUAGE
            if one == language:
                corrected = self._corrected(searcher, [term for term in counted if not idf[term]])
                weights.update(corrected)
                added = sum(its * _idf(searcher, term) for term, its in corrected.items())
            for term in sorted((term for term in counted if idf[term] > 0), key=lambda term: -idf[term])[:_MOST_TERMS]:
                weights[term] = max(weights.get(term, 0.0), worth * counted[term])
        return weights, possible + added

    def _corrected(self, searcher: Any, absent: Sequence[str]) -> dict[str, float]:
        """What may be meant by words that no passage has, and what it counts."""
        found: dict[str, float] = {}
        for term in absent[:_MOST_CORRECTED]:
            if start := beginning(term):
                found.update(dict.fromkeys(meant(term, searcher.terms_with_prefix("terms", start, None, _NEIGHBOURS)), _MEANT))
        return found

    def _asked(self, weights: dict[str, float]) -> list[tuple[Any, Any]]:
        from tantivy import Occur, Query

        return [(Occur.Should, Query.boost_query(Query.term_query(self._schema, "terms", term, "freq"), weight)) for term, weight in weights.items()]

    def _phrases(self, phrases: Sequence[str]) -> list[tuple[Any, Any]]:
        from tantivy import Occur, Query

        must = []
        for phrase in phrases:
            parts: list[Any] = [*exact(phrase)[:_MOST_EXPRESSED]]
            if len(parts) == 1:
                must.append((Occur.Must, Query.term_query(self._schema, "exact", parts[0], "position")))
            elif parts:
                must.append((Occur.Must, Query.phrase_query(self._schema, "exact", parts)))
        return must

    def _run(self, searcher: Any, asked: list[tuple[Any, Any]], limit: int, entries: Collection[int] | None) -> list[Found]:
        from tantivy import Occur, Query

        if entries is None:
            return self._hits(searcher, Query.boolean_query(asked), limit, None)
        if len(entries) > _FEW:
            # Most searches that are limited to many are limited little: ask for more than is wanted and sift.
            wanted, among = limit * 4, frozenset(entries)
            while wanted <= 16_384:
                hits = self._hits(searcher, Query.boolean_query(asked), wanted, among)
                if len(hits) >= limit or wanted >= searcher.num_docs:
                    return hits[:limit]
                wanted *= 8
        chosen = Query.const_score_query(Query.term_set_query(self._schema, "entry", list(entries)), 0.0)
        query = Query.boolean_query([(Occur.Must, chosen), (Occur.Must, Query.boolean_query(asked))])
        return self._hits(searcher, query, limit, None)

    def _hits(self, searcher: Any, query: Any, limit: int, among: Collection[int] | None) -> list[Found]:
        hits = searcher.search(query, limit, count=False).hits
        addresses = [address for _, address in hits]
        ids = searcher.fast_field_values("id", addresses)
        if among is not None:
            its = searcher.fast_field_values("entry", addresses)
            return [Found(one, score) for (score, _), one, entry in zip(hits, ids, its, strict=True) if entry in among and one != _META]
        return [Found(one, score) for (score, _), one in zip(hits, ids, strict=True) if one != _META]

    def _writing(self) -> Any:
        if self._writer is None:
            self._writer = self._kept(lambda: self._index.writer(heap_size=_MEMORY, num_threads=1))
        return self._writer

    def _read_meta(self) -> tuple[int, int, Counter[str]]:
        from tantivy import Query

        searcher = self._index.searcher()
        hits = searcher.search(Query.term_query(self._schema, "id", _META), 1).hits
        if not hits:
            if searcher.num_docs:
                raise Damaged(f"{self._folder} has passages but no mark")
            return 0, 0, Counter()
        try:
            meta = json.loads(searcher.doc(hits[0][1])["meta"][0])
            return int(meta["mark"]), int(meta["highest"]), Counter(meta["languages"])
        except (KeyError, IndexError) as error:
            raise Damaged(f"the mark of {self._folder} cannot be read") from error

    def _kept(self, call: Callable[[], _T]) -> _T:
        """tantivy says what is wrong with a file by ValueError or by a panic, which Python has as a BaseException."""
        return _guarded(self._folder, call)


def open_words(folder: Path) -> Words:
    """Opens the index of a folder, or makes an empty one. Raises `Damaged` for what cannot be read, or is of another format."""
    import tantivy

    kind = folder / "format"
    if not (folder / "meta.json").exists():
        if folder.is_dir() and any(path.suffix in {".term", ".idx", ".store"} for path in folder.iterdir()):
            raise Damaged(f"{folder} lacks its meta.json")
        if folder.is_dir():
            shutil.rmtree(folder)
        folder.mkdir(mode=0o700, parents=True)
        kind.write_text(f"{FORMAT}\n")
        return Words(folder, _guarded(folder, lambda: tantivy.Index(_schema(), path=str(folder))))
    if not kind.is_file() or kind.read_text().strip() != str(FORMAT):
        raise Damaged(f"{folder} is of another format")
    _check(folder)
    return Words(folder, _guarded(folder, lambda: tantivy.Index.open(str(folder))))


def _schema() -> Any:
    import tantivy

    builder = tantivy.SchemaBuilder()
    builder.add_unsigned_field("id", indexed=True, fast=True)
    builder.add_unsigned_field("entry", indexed=True, fast=True)
    builder.add_text_field("terms", tokenizer_name="whitespace", index_option="freq")
    builder.add_text_field("exact", tokenizer_name="whitespace", index_option="position")
    builder.add_text_field("meta", stored=True, tokenizer_name="raw", index_option="basic")
    return builder.build()


def _check(folder: Path) -> None:
    """Files that end too early are found here: each ends with a footer. What is wrong within one is found when it is read."""
    try:
        meta = json.loads((folder / "meta.json").read_text("utf-8"))
        names = [segment["segment_id"].replace("-", "") for segment in meta["segments"]]
    except (ValueError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise Damaged(f"meta.json of {folder} cannot be read") from error
    for name in names:
        for ending in ("term", "idx", "pos", "store", "fast", "fieldnorm"):
            path = folder / f"{name}.{ending}"
            try:
                with open(path, "rb") as file:
                    size = file.seek(0, 2)
                    file.seek(max(0, size - 8))
                    end = file.read()
            except OSError as error:
                raise Damaged(f"{path} cannot be read") from error
            if end[4:] != _FOOTER:
                raise Damaged(f"{path} is cut off")


_FOOTER: Final = (1337).to_bytes(4, "little")
"""With which tantivy ends its files."""


@lru_cache(maxsize=1024)
def _above(heading: str, filename: str, language: str) -> tuple[str, ...]:
    """Terms of its headings and of the name of its file. A name stands in every passage of its file, so it says which file but not where in it."""
    terms: list[str] = words(heading, language) if heading else []
    if filename:
        name = filename.rsplit(".", 1)[0] if "." in filename[1:] else filename
        terms += words(re.sub(r"[_\-.]+", " ", name), language)
    return tuple(terms)


def _idf(searcher: Any, term: str) -> float:
    """About what a term adds to the score of a passage that has it once: BM25's idf; 0 for what is nowhere."""
    total, having = int(searcher.num_docs), int(searcher.doc_freq("terms", term))
    return log(1 + (total - having + 0.5) / (having + 0.5)) if 0 < having <= total else 0.0


def _guarded(folder: Path, call: Callable[[], _T]) -> _T:
    try:
        return call()
    except HausgeistError:
        raise
    except (ValueError, OSError) as error:
        if "No space left" in str(error):
            raise OSError(28, f"no space left for {folder}") from error
        raise Damaged(f"{folder}: {str(error)[:300]}") from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise Damaged(f"{folder}: {str(error)[:300]}") from None
