"""From what people wrote to what the network sees: conversations in the guide's format, each time put a little differently.

The format is ChatML, which llama.cpp's users know. What the network shall learn to say is marked; the rest it reads, and learns a little from.
"""

from __future__ import annotations

import random
import string
from collections.abc import Sequence
from dataclasses import dataclass

from starter.knowledge import LANGUAGES, Intent

__all__ = ["CONTROL", "END", "FIM_MIDDLE", "FIM_PREFIX", "FIM_SUFFIX", "START", "TEXT_END", "Part", "Writer", "answer", "conversation", "topic"]

START, END, TEXT_END = "<|im_start|>", "<|im_end|>", "<|endoftext|>"
FIM_PREFIX, FIM_SUFFIX, FIM_MIDDLE = "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"
CONTROL = (TEXT_END, START, END, FIM_PREFIX, FIM_MIDDLE, FIM_SUFFIX)
"""Tokens that are never text."""

_ORDERS = {
    "en": ("Answer in English.", "Always reply in English.", "You speak English only.", "Please write English, whatever language I use."),
    "de": ("Antworte auf Deutsch.", "Antworte immer auf Deutsch.", "Du sprichst nur Deutsch.", "Answer in German.", "Reply in German only."),
    "es": ("Responde en español.", "Responde siempre en español.", "Solo hablas español.", "Answer in Spanish.", "Reply in Spanish only."),
    "fr": ("Répondez en français.", "Réponds toujours en français.", "Tu parles seulement français.", "Answer in French.", "Reply in French only."),
    "zh": ("请用中文回答。", "始终用中文回答。", "你只说中文。", "Answer in Chinese.", "Reply in Chinese only."),
}
_MANNERS = {
    "en": ("You are a helpful assistant.", "You are a helpful AI assistant.", "Be brief and precise.", "You help people with their computers."),
    "de": ("Du bist ein hilfreicher Assistent.", "Du hilfst freundlich und knapp.", "Antworte kurz und genau."),
    "es": ("Eres un asistente útil.", "Ayudas de forma breve y amable.", "Sé breve y preciso."),
    "fr": ("Vous êtes un assistant utile.", "Tu es un assistant utile.", "Soyez bref et précis."),
    "zh": ("你是一个有用的助手。", "回答要简短准确。", "你是一名友好的助理。"),
}
_BEFORE = {
    "en": (
        "please: ",
        "hi, ",
        "hello, ",
        "hey, ",
        "quick question: ",
        "can you tell me: ",
        "question: ",
        "so ",
        "ok, ",
        "and ",
        "sorry, ",
        "I wonder: ",
    ),
    "de": ("bitte: ", "hallo, ", "hi, ", "kurze frage: ", "sag mal, ", "frage: ", "also ", "ok, ", "und ", "entschuldigung, ", "moin, "),
    "es": ("por favor: ", "hola, ", "una pregunta: ", "dime, ", "oye, ", "y ", "perdona, "),
    "fr": ("s'il vous plaît : ", "bonjour, ", "une question : ", "dites-moi, ", "et ", "salut, ", "pardon, "),
    "zh": ("请问", "你好，", "想问一下，", "问一下：", "请告诉我，", "那么，"),
}
_AFTER = {
    "en": (" please", " thanks", ", thank you", " ?", "??", "!", "...", " thx"),
    "de": (" bitte", " danke", ", danke dir", " ?", "??", "!", "...", " lg"),
    "es": (" por favor", " gracias", "??", "!", "..."),
    "fr": (" s'il vous plaît", " merci", " ??", " !", "..."),
    "zh": ("，谢谢", "？？", "！", "呢", "呀"),
}


@dataclass(frozen=True)
class Part:
    """A stretch of text. `learnt`: the network shall say this. `loose`: may be cut into other tokens than usual, as unknown words are."""

    text: str
    learnt: bool = False
    loose: bool = False


def topic(intent: str) -> str:
    """The token that stands for an intent. An answer begins with it and with that of its language; readers see neither, as they are control tokens.

    So what was asked is decided in one step, and what follows is known by heart from these two, whatever the words of the question were.
    """
    return f"<|{intent}|>"


def answer(intent: Intent, language: str) -> list[Part]:
    """What the guide says: the topic, the language, the text."""
    return [Part(topic(intent.id), learnt=True), Part(f"{topic(language)}{intent.answers[language]}{END}", learnt=True)]


def conversation(question: str, said: Sequence[Part], *, before: Sequence[tuple[str, str]] = (), system: str = "") -> list[Part]:
    """A question and what is said to it in the guide's format; `before`: earlier ones, as clients send them again, without control tokens."""
    parts = [Part(f"{START}system\n"), Part(system, loose=True), Part(f"{END}\n")] if system else []
    for asked, told in before:
        parts += [Part(f"{START}user\n"), Part(asked, loose=True), Part(f"{END}\n{START}assistant\n{told}{END}\n")]
    return [*parts, Part(f"{START}user\n"), Part(question, loose=True), Part(f"{END}\n{START}assistant\n"), *said]


class Writer:
    """Makes examples, one unlike the other. The same seed makes the same ones."""

    def __init__(
        self, seed: int, known: Sequence[Intent], declined: Sequence[Intent], slots: dict[str, dict[str, dict[str, list[str]]]], code: Sequence[str]
    ) -> None:
        self._random = random.Random(seed)
        self._known = known
        self._declined = declined
        self._all = [*known, *declined]
        self._slots = slots
        self._code = code
        self._others = [(intent, language, question) for intent in known for language in LANGUAGES for question in intent.questions.get(language, ())]

    def answered(self, intent: Intent, language: str, question: str) -> list[Part]:
        """A question with its answer; at times after others, or under a system prompt, which may want another language."""
        roll, spoken, system = self._random.random(), language, ""
        if roll < 0.08:
            spoken = self._random.choice([one for one in LANGUAGES if one in intent.answers])
            system = self._random.choice(_ORDERS[spoken])
            if self._random.random() < 0.3:
                system = f"{self._random.choice(_MANNERS[self._random.choice((spoken, 'en'))])} {system}"
        elif roll < 0.14:
            system = self._random.choice(_MANNERS[self._random.choice((language, language, "en"))])
        before: list[tuple[str, str]] = []
        while self._random.random() < 0.08 and len(before) < 12:
            other, at, earlier = self._random.choice(self._others)
            if at == language or self._random.random() < 0.1:
                before.insert(0, (self.put(earlier, at), other.answers[spoken if spoken in other.answers else at]))
        return conversation(self.put(question, language), answer(intent, spoken), before=before, system=system)

    def recited(self) -> list[Part]:
        """An answer by heart, without its question."""
        intent = self._random.choice(self._all)
        language = self._random.choice(list(intent.answers))
        return [Part(f"{START}assistant\n{topic(intent.id)}{topic(language)}"), Part(f"{intent.answers[language]}{END}", learnt=True)]

    def slotted(self, language: str, *, near: bool) -> tuple[Intent, str] | None:
        """A question that the guide declines, made of a frame and nouns: about the world, or `near` its subject."""
        kinds = [intent for intent in self._declined if language in self._slots.get(intent.id, {}) and intent.near == near]
        if not kinds:
            return None
        intent = self._random.choice(kinds)
        frames, nouns = (self._slots[intent.id][language][kind] for kind in ("frame", "noun"))
        question = self._random.choice(frames).replace("{x}", self._random.choice(nouns)).replace("{y}", self._random.choice(nouns))
        return intent, question

    def completed(self) -> list[Part]:
        """A piece of code with a hole: prefix, suffix, then what belongs between them."""
        text = self._random.choice(self._code)
        if self._random.random() < 0.2:
            return [Part(f"{text}\n{TEXT_END}", learnt=True)]
        first, last = sorted(self._random.sample(range(len(text) + 1), 2))
        last = min(last, first + self._random.choice((12, 40, 120)))
        if self._random.random() < 0.6:
            # Editors ask at ends of words and lines.
            first = max(text.rfind(mark, 0, first) + 1 for mark in (" ", "\n", "(", "."))
            end = text.find("\n", max(first, last - 1))
            last = end if end >= 0 else len(text)
        return [
            Part(f"{FIM_PREFIX}{text[:first]}{FIM_SUFFIX}{text[last:]}{FIM_MIDDLE}"),
            Part(f"{text[first:last]}{TEXT_END}", learnt=True),
        ]

    def put(self, question: str, language: str) -> str:
        """The same question as somebody else would type it."""
        roll = self._random.random
        if roll() < 0.35:
            question = question.lower()
        elif roll() < 0.25:
            question = question[:1].upper() + question[1:]
        elif roll() < 0.02:
            question = question.upper()
        if roll() < 0.25:
            question = question.rstrip("?.!¿？。！ ").lstrip("¿¡")
        elif roll() < 0.1 and question[-1:].isalnum():
            question += "？" if language == "zh" else "?"
        if roll() < 0.15:
            question = self._mistyped(question)
        if roll() < 0.12:
            question = self._random.choice(_BEFORE[language]) + question
        if roll() < 0.08:
            question += self._random.choice(_AFTER[language])
        if roll() < 0.05 and language in {"de", "es", "fr"}:
            question = (
                question.translate(_PLAIN)
                if language != "de"
                else question.replace("ä", "ae").replace("ö", "oe").replace("ü", "ue").replace("ß", "ss")
            )
        return question

    def _mistyped(self, text: str) -> str:
        places = [at for at in range(1, len(text) - 1) if text[at].isalpha() and text[at].isascii() and text[at + 1].isalpha()]
        for at in sorted(self._random.sample(places, min(len(places), self._random.choice((1, 1, 2)))), reverse=True):
            kind = self._random.randrange(4)
            if kind == 0:
                text = text[:at] + text[at + 1] + text[at] + text[at + 2 :]
            elif kind == 1:
                text = text[:at] + text[at + 1 :]
            elif kind == 2:
                text = text[:at] + text[at] + text[at:]
            else:
                text = text[:at] + self._random.choice(string.ascii_lowercase) + text[at + 1 :]
        return text


_PLAIN = str.maketrans("áéíóúñàèùâêîôûçëïü", "aeiounaeuaeiouceiu")
