"""How the fake models behave: each turns what it was asked into steps. The instructions that `obeys` understands are listed in `INSTRUCTIONS`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hausgeist.engines.fake.schema import instance
from hausgeist.engines.fake.steps import CallTool, Die, Fail, Say, Stall, Step, Think, Wait
from hausgeist.engines.fake.text import words
from hausgeist.errors import InvalidRequest

__all__ = ["INSTRUCTIONS", "MANNERS", "Manner", "Question", "Turn", "forced"]

INSTRUCTIONS = """\
say TEXT                 says TEXT
think TEXT               reasons TEXT (reasoning_content), before what follows
think TEXT then DO       the same in one line, DO being any instruction
count N                  says "1 2 3 ... N"
length N                 says N tokens
json [VALUE]             an instance of the schema of the request (properties taken from VALUE where they fit); VALUE itself without a schema
call TOOL [JSON]         calls TOOL; without JSON with an instance of its parameters. Lines one after the other are parallel calls;
                         what comes after them is done when their results are there
wait S                   pauses S seconds
fail [STATUS] [TEXT]     an error: the whole answer when it comes first, within the stream otherwise
stall                    nothing more comes, and no end
die                      the worker crashes
"""


@dataclass(frozen=True, slots=True)
class Turn:
    """A message of the conversation, as plain text."""

    role: str
    text: str
    calls: int = 0
    """How many tools an assistant's message calls."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, whichever operation asked it."""

    turns: Sequence[Turn]
    tools: Mapping[str, Any] = field(default_factory=dict)
    """Name -> schema of the parameters."""
    tool_choice: str = "auto"
    """auto, none, required, or `=NAME`."""
    parallel: bool = True
    schema: Any = None
    """What the answer must be an instance of; `None`: plain text."""

    @property
    def last(self) -> str:
        """What the user said last."""
        return next((turn.text for turn in reversed(self.turns) if turn.role == "user"), self.turns[-1].text if self.turns else "")

    @property
    def rounds(self) -> int:
        """How often tools were called since then."""
        count = 0
        for turn in reversed(self.turns):
            if turn.role == "user":
                break
            count += turn.calls > 0
        return count

    @property
    def results(self) -> list[str]:
        """What tools returned since the last answer, oldest first."""
        found: list[str] = []
        for turn in reversed(self.turns):
            if turn.role != "tool":
                break
            found.insert(0, turn.text)
        return found


Manner = Callable[[Question], list[Step]]


def forced(question: Question, steps: list[Step]) -> list[Step]:
    """The steps as the request demands them: a tool where one must be called, an instance where a schema is given."""
    calls = [step for step in steps if isinstance(step, CallTool)]
    if question.tool_choice == "none":
        return [Say(f"call {step.name} {step.arguments}") if isinstance(step, CallTool) else step for step in steps]
    if question.tools and question.tool_choice != "auto":
        wanted = question.tool_choice[1:] if question.tool_choice.startswith("=") else ""
        fitting = [step for step in calls if not wanted or step.name == wanted]
        if not fitting:
            name = wanted or next(iter(question.tools))
            fitting = [CallTool(name, _json(instance(question.tools.get(name) or {"type": "object"})))]
        others: list[Step] = [step for step in steps if not isinstance(step, CallTool | Say)]
        steps, calls = [*others, *fitting], fitting
    if calls and not question.parallel:
        steps = [step for step in steps if not isinstance(step, CallTool) or step is calls[0]]
    if question.schema is not None and not calls:
        return _as_instance(question.schema, steps)
    return steps


def _as_instance(schema: Any, steps: list[Step]) -> list[Step]:
    said = "".join(step.text for step in steps if isinstance(step, Say))
    try:
        hints = json.loads(said)
    except (ValueError, RecursionError):
        hints = None
    kept: list[Step] = []
    for step in steps:
        if not isinstance(step, Say):
            kept.append(step)
        elif said:
            kept.append(Say(_json(instance(schema, hints if isinstance(hints, dict) else None))))
            said = ""
    return kept


def _echo(question: Question) -> list[Step]:
    return [Say(question.last)]


def _obeys(question: Question) -> list[Step]:
    """Groups of instructions end with a run of calls; the answer is the group whose turn it is."""
    groups: list[list[Step]] = [[]]
    for line in filter(None, (line.strip() for line in question.last.splitlines())):
        steps = _instruction(line, question)
        if groups[-1] and isinstance(groups[-1][-1], CallTool) and not (steps and isinstance(steps[0], CallTool)):
            groups.append([])
        groups[-1].extend(steps)
    if question.rounds < len(groups) and groups[question.rounds]:
        return _spaced(groups[question.rounds])
    if question.results:
        return [Say("\n".join(question.results))]
    return [Say("Tell me what to do:\n" + INSTRUCTIONS)]


def _spaced(steps: list[Step]) -> list[Step]:
    """Things said one after the other stand on lines of their own."""
    spaced: list[Step] = []
    for step in steps:
        if isinstance(step, Say) and any(isinstance(earlier, Say) for earlier in spaced):
            step = Say("\n" + step.text)
        spaced.append(step)
    return spaced


def _instruction(line: str, question: Question) -> list[Step]:
    verb, _, rest = line.partition(" ")
    rest = rest.strip()
    match verb.lower().rstrip(":"):
        case "say":
            return [Say(rest)]
        case "think":
            thought, then, more = rest.partition(" then ")
            return [Think(thought), *(_instruction(more.strip(), question) if then and more.strip() else [])]
        case "count":
            return [Say(" ".join(str(number) for number in range(1, _number(rest, 1, 100_000) + 1)))]
        case "length":
            return [Say(" la" * _number(rest, 0, 100_000))]
        case "json":
            return [Say(_json(_value(rest)))]  # `forced` makes it an instance of the schema
        case "call":
            return _call(rest, question)
        case "wait":
            return [Wait(min(max(_decimal(rest), 0.0), 3600.0))]
        case "fail":
            status, _, message = rest.partition(" ")
            if not (status.isdigit() and 400 <= int(status) <= 599):
                status, message = "500", rest
            return [Fail(int(status), message or "The fake engine was told to fail.")]
        case "stall":
            return [Stall()]
        case "die":
            return [Die()]
    return [Say(f"I do not know how to '{line}'. I understand:\n{INSTRUCTIONS}")]


def _call(rest: str, question: Question) -> list[Step]:
    name, _, given = rest.partition(" ")
    if question.tool_choice != "none" and name not in question.tools:
        return [Say(f"I have no tool called '{name}'.")]
    arguments = given.strip() or _json(instance(question.tools.get(name) or {"type": "object"}))
    return [CallTool(name, arguments)]


def _misquotes(question: Question) -> list[Step]:
    """Answers with sentences of the material it was given, each with one word changed inside the quotation marks."""
    found = sorted(_sentences(question), key=lambda item: -len(item[1]))[:3]
    if not found:
        return [Say("There is nothing here that I could quote.")]
    return [Say(" ".join(f'The source says: "{_altered(sentence)}"{label}' for label, sentence in found))]


def _invents(question: Question) -> list[Step]:
    """Cites what it was never given, by a number that no passage has."""
    labels = [int(number) for turn in question.turns for number in re.findall(r"\[(\d{1,4})\]", turn.text)]
    number = max(labels, default=0) + 4
    return [Say(f'According to the Annual Report of the Harbour Board, page 412, "the lighthouse was painted twice that winter" [{number}].')]


_LABEL = re.compile(r"^\s*(\[\d{1,4}\])\s*")


def _sentences(question: Question) -> list[tuple[str, str]]:
    """(" [1]" or "", sentence) for what the conversation gives as material: all but the last line of the last question."""
    material: list[str] = [turn.text for turn in question.turns if turn.role in {"system", "developer", "tool"}]
    asked = [turn.text for turn in question.turns if turn.role == "user"]
    material += asked[:-1]
    if asked:
        lines = asked[-1].strip().splitlines()
        material.append("\n".join(lines[:-1]) if len(lines) > 1 else " ".join(re.findall(r'["“„](.+?)["”“]', asked[-1])))
    found: list[tuple[str, str]] = []
    label = ""
    for line in "\n".join(material).splitlines():
        if match := _LABEL.match(line):
            label, line = f" {match[1]}", line[match.end() :]
        elif not line.strip():
            label = ""
        found += [(label, part.strip()) for part in re.split(r"(?<=[.!?])\s+", line) if len(words(part)) >= 3]
    return found


_REPLACEMENTS = ("seldom", "nobody", "forbidden", "yesterday")


def _altered(sentence: str) -> str:
    """The sentence with its first number changed, or else its longest word."""
    if match := re.search(r"\d", sentence):
        return f"{sentence[: match.start()]}{(int(match[0]) + 1) % 10}{sentence[match.end() :]}"
    longest = max(words(sentence), key=len)
    other = next(word for word in _REPLACEMENTS if word != longest)
    return re.sub(rf"(?i)\b{re.escape(longest)}\b", other, sentence, count=1)


def _stalls(question: Question) -> list[Step]:
    return [Say("Let me think about that"), Stall()]


def _dies(question: Question) -> list[Step]:
    return [Say("Let me think about that"), Die()]


MANNERS: dict[str, Manner] = {"echo": _echo, "obeys": _obeys, "misquotes": _misquotes, "invents": _invents, "stalls": _stalls, "dies": _dies}


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _value(text: str) -> Any:
    if not text:
        return {}
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"'json' needs a JSON value after it, not {text[:80]!r}.", param="messages") from error


def _number(text: str, least: int, most: int) -> int:
    return min(max(int(text), least), most) if re.fullmatch(r"\d{1,9}", text) else least


def _decimal(text: str) -> float:
    return float(text) if re.fullmatch(r"\d{1,6}(\.\d{1,6})?", text) else 0.0
