"""One message of an answer, looked at while it is said: each quotation is held until its end and checked, each claim when its sentence is over.

`mark`: what is wrong is told, with a word behind it that says so. `drop`: a sentence is told when it has been checked, or never. Numbers of passages
are taken out of the text and become citations, of the place that was found rather than of the number that was said.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from hausgeist.knowledge.answer.checking.inert import Inert
from hausgeist.knowledge.answer.checking.passages import Found, Passage, Passages
from hausgeist.knowledge.answer.checking.quotes import LONGEST, closing, opens
from hausgeist.knowledge.answer.checking.support import Judge, Verdict, content_words, numbers
from hausgeist.knowledge.answer.checking.verbatim import normal
from hausgeist.knowledge.answer.phrases import Phrases, is_refusal
from hausgeist.tools import Said

__all__ = ["Citation", "Policy", "Watcher", "citation"]

Policy = Literal["mark", "drop"]

_MARKER: Final = re.compile(r"\[\^?\s*(\d{1,4}(?:\s*[,;–-]\s*\d{1,4})*)\s*\]|【\s*(\d{1,4})(?:[:†][^】\n]{0,60})?\s*】")
_MARKER_BEGUN: Final = re.compile(r"\[\^?[\d\s,;–-]{0,40}$|【[^】\n]{0,66}$")
_PLAIN: Final = re.compile(r"\w+")
_CJK_STOPS: Final = "。！？"
_STOPS: Final = ".!?" + _CJK_STOPS
_SHORT: Final = re.compile(
    r"(?:^|[\s(.])(?:\w|\d\d|Dr|Mrs?|Ms|St|Prof|Hr|Fr|Inc|Ltd|Co|Sra?|Jr|[Nn]o|[Nn]r|[Aa]rt|[Aa]bs|ca|bzw|vgl|usw|inkl|zzgl|[Pp]ág|pp)\.$"
)
_LONGEST_QUESTION: Final = 120
"""Characters of the question that may be said again in quotation marks without being quoted from a document."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Citation:
    """A place in a document that a part of the answer rests on; or what was said without one (`found` is None)."""

    found: Found | None
    said: str
    """What the answer says there."""
    kind: Literal["quote", "claim", "source"]
    verified: bool
    moved: bool = False
    """The answer named another passage."""


def citation(found: Found) -> dict[str, Any]:
    """The annotation, as the API has it."""
    return {"type": "file_citation", "file_id": found.file, "filename": found.filename}


@dataclass
class _Sentence:
    """What was said since the last sentence ended."""

    text: str = ""
    bare: str = ""
    """Without its quotations."""
    numbers: list[int] = field(default_factory=list)
    quotes: list[tuple[str, Found | None]] = field(default_factory=list)
    wrong: bool = False
    told: list[str] = field(default_factory=list)
    """What is held for the end of the sentence (`drop`)."""
    citations: list[Citation] = field(default_factory=list)
    """What it rests on, one for each annotation, in their order."""


class Watcher:
    """`tools.Watch`. `told`: gets every citation, and everything that was caught."""

    def __init__(
        self, passages: Passages, *, question: str, phrases: Phrases, policy: Policy, told: Callable[[Citation], None],
        nearest: Callable[[], Awaitable[Sequence[Said]]] | None = None,
    ) -> None:  # fmt: skip
        """`nearest`: what is said after an answer that the documents do not give."""
        self._passages = passages
        self._question = normal(question).text.lower()
        self._asked = question
        self._phrases = phrases
        self._policy = policy
        self._tell = told
        self._nearest = nearest
        self._inert = Inert()
        self._judge = Judge()
        self._held = ""
        self._before = ""
        """The last character that was taken."""
        self._sentence = _Sentence()
        self._stopped = False
        """A full stop was said; numbers of passages may follow it."""
        self._line = True
        """A line begins."""
        self._out: list[Said] = []
        self._kept = self._dropped = 0
        self._refused = self._last_dropped = False

    @property
    def waiting(self) -> int:
        """Characters that are held."""
        return len(self._held)

    async def feed(self, text: str) -> list[Said]:
        self._held += text
        await self._take(final=False)
        return self._given()

    async def end(self, *, whole: bool) -> list[Said]:
        await self._take(final=True)
        await self._finish()
        if self._refused or (self._dropped and not self._kept):
            if not self._refused:
                self._put(self._phrases.silent)
            self._out += await self._nearest() if self._nearest else ()
        self._refused, self._dropped = False, 0
        return self._given()

    def _given(self) -> list[Said]:
        out: list[Said] = []
        for said in self._out:
            if out and not out[-1].annotations and said.text:
                out[-1] = Said(out[-1].text + said.text, said.annotations)
            else:
                out.append(said)
        self._out = []
        return out

    # Taking the text apart

    async def _take(self, *, final: bool) -> None:
        while self._held:
            taken = await self._next(final)
            if not taken:
                return
            self._before = self._held[taken - 1]
            self._line = self._before == "\n" or (self._line and self._before.isspace())
            self._held = self._held[taken:]

    async def _next(self, final: bool) -> int:
        """Take one piece; returns how many characters of what is held it has. 0: more has to come first."""
        text = self._held
        first = text[0]
        if first.isspace():
            return await self._space(final)
        if first in "[【":
            if match := _MARKER.match(text):
                return await self._marker(match)
            if not final and _MARKER_BEGUN.match(text):
                return 0
        if self._stopped:
            await self._finish()
        if first == ">" and self._line:
            return await self._block(final)
        if first in _STOPS:
            return await self._stop(final)
        if match := _PLAIN.match(text):
            self._say(match[0])
            return match.end()
        if len(text) < 2 and not final and opens(first, self._before, "x"):
            return 0
        if opens(first, self._before, text[1:2]):
            return await self._quotation(final)
        self._say(first)
        return 1

    async def _space(self, final: bool) -> int:
        """White space waits for what comes: before the number of a passage it goes with that."""
        text = self._held
        size = len(text) - len(text.lstrip())
        if size == len(text) and not final:
            return 0
        space, rest = text[:size], text[size:]
        if rest[:1] in ("[", "【") and "\n" not in space and not final and not _MARKER.match(rest) and _MARKER_BEGUN.match(rest):
            return 0
        if _MARKER.match(rest) and "\n" not in space:
            return size
        if "\n" in space or self._stopped:
            await self._finish()
        self._say(space)
        return size

    async def _marker(self, match: re.Match[str]) -> int:
        for number in _numbers(match[1] or match[2]):
            if self._passages.get(number) is not None:
                self._sentence.numbers.append(number)
            else:
                self._sentence.wrong = True
                self._tell(Citation(found=None, said=match[0], kind="source", verified=False))
                self._mark(self._phrases.no_source)
        return match.end()

    async def _stop(self, final: bool) -> int:
        text = self._held
        if text[0] in _CJK_STOPS:
            self._say(text[0])
            self._stopped = True
            return 1
        size = len(text) - len(text.lstrip(".!?"))
        if size == len(text) and not final:
            return 0
        self._say(text[:size])
        following = text[size : size + 1]
        if (not following or following.isspace() or following in '[【"”“»)') and not _SHORT.search(self._sentence.text[-12:]):
            self._stopped = True
        return size

    async def _quotation(self, final: bool) -> int:
        text = self._held
        end = closing(text, 0)
        if end is None:
            if not final and len(text) < LONGEST:
                return 0
            end = min(len(text), LONGEST)
        if text[0] in "'‘‚" and (end < 2 or text[end - 1] not in "'’‘"):
            self._say(text[0])  # it was an apostrophe
            return 1
        await self._quoted(text[:end], text[1:end].rstrip("\"”“»«›‹」』＂〞’‘'"))
        # The stop of the sentence may stand within the marks.
        if re.search(r"[.!?。！？][\"”“»«」』’']$", text[:end]) and not re.match(r"\s*[,;:a-zà-ÿ]", text[end:]):
            self._stopped = True
        return end

    async def _block(self, final: bool) -> int:
        """A line that is quoted as a whole."""
        text = self._held
        end = text.find("\n")
        if end < 0:
            if not final and len(text) < LONGEST:
                return 0
            end = len(text)
        line = text[:end]
        inner = _MARKER.sub("", line.lstrip("> ")).strip()
        marks = list(_MARKER.finditer(line))
        if inner:
            said = line[: marks[0].start()].rstrip() if marks else line
            await self._quoted(said, inner.strip('"”“„»«」「』『'))
        else:
            self._say(line)
        for match in marks:
            await self._marker(match)
        return end

    # Checking

    async def _quoted(self, said: str, quote: str) -> None:
        """A quotation as it was said, with its marks and without."""
        sentence = self._sentence
        found = await self._passages.find(quote, sentence.numbers) if quote.strip() else None
        plain = normal(quote).text.strip(" .,;:!?'").lower()
        own = not plain or (found is None and len(plain) <= _LONGEST_QUESTION and (plain in self._question or self._is_name(plain)))
        self._say(said, quoted=True)
        if own and found is None:
            sentence.bare += said
            return
        sentence.quotes.append((quote, found))
        if found is None:
            sentence.wrong = True
            self._tell(Citation(found=None, said=quote, kind="quote", verified=False))
            self._mark(self._phrases.no_quote)

    def _is_name(self, plain: str) -> bool:
        """Whether it is what a document, or a part of one, is called."""
        return any(plain in (normal(name).text.lower() for name in (one.hit.filename, *one.hit.heading.split(" > "))) for one in self._passages.all)

    async def _finish(self) -> None:
        """A sentence is over: what it claims is checked, and what it rests on is noted."""
        sentence, self._sentence, self._stopped = self._sentence, _Sentence(), False
        if not sentence.text.strip():
            if sentence.told and self._policy == "drop":
                self._put("".join(sentence.told))
            return
        if is_refusal(sentence.text):
            self._refused = True
            self._settle(sentence)
            return
        for quote, found in sentence.quotes:
            if found is None:
                continue
            better = found
            if sentence.numbers and found.passage.number not in sentence.numbers:
                better = await self._passages.find(quote, sentence.numbers) or found
            moved = bool(sentence.numbers) and better.passage.number not in sentence.numbers
            sentence.citations.append(Citation(found=better, said=quote, kind="quote", verified=True, moved=moved))
        if not sentence.wrong:
            sentence.citations += self._claimed(sentence)
        self._settle(sentence)

    def _claimed(self, sentence: _Sentence) -> list[Citation]:
        """Check what the sentence says in its own words. Returns what it rests on."""
        quoted = [one.found for one in sentence.citations if one.found is not None]
        cited = [passage for number in dict.fromkeys(sentence.numbers) if (passage := self._passages.get(number))]
        if quoted:
            if self._strange(sentence.bare, [*cited, *(one.passage for one in quoted)]):
                self._caught(sentence)
            return []
        claim = sentence.bare.strip()
        if claim.endswith(("?", ":", "？", "：")) and not cited:
            return []
        if not cited and len(content_words(claim)) < 3 and not (numbers(claim) - numbers(self._asked)):
            return []
        if cited:
            verdict = self._judged(claim, cited)
            if verdict != "unsupported":
                proved = verdict == "supported"
                return [Citation(found=self._place(claim, passage), said=claim, kind="claim", verified=proved) for passage in cited]
        for passage in self._passages.all:
            if passage not in cited and self._judged(claim, [passage]) == "supported":
                return [Citation(found=self._place(claim, passage), said=claim, kind="claim", verified=True, moved=bool(cited))]
        if cited or self._judged(claim, self._passages.all) == "unsupported":
            self._caught(sentence)
        return []

    def _judged(self, claim: str, passages: Sequence[Passage]) -> Verdict:
        about = " ".join(f"[{one.number}] {one.about}" for one in passages)
        return self._judge.supported(claim, [one.hit.text for one in passages], about=about, besides=self._asked)

    def _strange(self, text: str, passages: Sequence[Passage]) -> set[str]:
        """Numbers that neither the passages nor the question know."""
        found = numbers(text) - self._judge.numbers_of(self._asked)
        for one in passages:
            found -= self._judge.numbers_of(one.hit.text) | self._judge.numbers_of(f"{one.number} {one.about}")
        return found

    def _caught(self, sentence: _Sentence) -> None:
        sentence.wrong = True
        self._tell(Citation(found=None, said=sentence.text.strip(), kind="claim", verified=False))
        self._mark(self._phrases.no_support)

    def _place(self, claim: str, passage: Passage) -> Found:
        """The sentence of the passage that says most of it."""
        words = set(content_words(claim))
        best, most = (0, len(passage.hit.text)), 0
        for match in re.finditer(r"\S[^\n]*?(?:[.!?。！？](?=\s|$|[^\s\w])|(?=\n)|$)", passage.hit.text):
            shared = len(words & set(content_words(match[0])))
            if shared > most:
                best, most = match.span(), shared
        start, end = best
        return Passages.found(passage, passage.hit.start + start, passage.hit.start + end, passage.hit.text[start:end])

    # Telling

    def _say(self, text: str, *, quoted: bool = False) -> None:
        self._sentence.text += text
        if not quoted:
            self._sentence.bare += text
        if self._policy == "drop":
            self._sentence.told.append(text)
        else:
            self._put(text)

    def _mark(self, word: str) -> None:
        if self._policy == "mark":
            self._put(f" {word}")

    def _settle(self, sentence: _Sentence) -> None:
        """Tell what is held of the sentence, or drop it, and note what it rests on."""
        if self._policy == "drop":
            if sentence.wrong:
                self._dropped += 1
                self._last_dropped = True
                return
            # What is left of a sentence that went, such as its stop, goes with it.
            if self._last_dropped and not any(letter.isalnum() for letter in sentence.text):
                return
            self._last_dropped = False
            self._put("".join(sentence.told))
        if sentence.citations or (not sentence.wrong and not sentence.text.rstrip().endswith((":", "：")) and len(content_words(sentence.bare)) >= 3):
            self._kept += 1
        for one in sentence.citations:
            self._tell(one)
        if annotations := [citation(one.found) for one in sentence.citations if one.found is not None]:
            self._out.append(Said("", annotations))

    def _put(self, text: str) -> None:
        if text := self._inert.feed(text):
            self._out.append(Said(text))


def _numbers(text: str) -> list[int]:
    """The numbers of a mark: "1, 3" and "2-4"."""
    found: list[int] = []
    for part in re.split(r"[,;]", text):
        ends = [int(number) for number in re.findall(r"\d+", part)]
        found += range(ends[0], min(ends[-1], ends[0] + 20) + 1) if len(ends) == 2 and ends[0] < ends[-1] else ends
    return found
