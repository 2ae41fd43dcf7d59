"""A small byte-level BPE tokenizer, learnt from a page of text on the spot, and a chat template with tools. Or a real tokenizer out of a GGUF."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

__all__ = ["CHAT_TEMPLATE", "SPECIAL", "Tokenizer", "learn", "read", "write"]

SPECIAL = (
    "<|im_start|>",
    "<|im_end|>",
    "<|endoftext|>",
    "<|fim_prefix|>",
    "<|fim_suffix|>",
    "<|fim_middle|>",
    "<tool_call>",
    "</tool_call>",
    "<|sep|>",
)
_NORMAL, _CONTROL, _UNUSED = 1, 3, 5
_FIM = {"fim_pre": "<|fim_prefix|>", "fim_suf": "<|fim_suffix|>", "fim_mid": "<|fim_middle|>"}

CHAT_TEMPLATE = r"""
{%- if tools %}
    {{- '<|im_start|>system\n' }}
    {%- if messages[0].role == 'system' %}{{- messages[0].content + '\n\n' }}{%- endif %}
    {{- "# Tools\n\nYou may call one or more functions.\n\nFunction signatures within <tools></tools> XML tags:\n<tools>" }}
    {%- for tool in tools %}{{- "\n" }}{{- tool | tojson }}{%- endfor %}
    {{- "\n</tools>\n\nFor each call return a json object with name and arguments within <tool_call></tool_call> XML tags:\n" }}
    {{- "<tool_call>{\"name\": <function-name>, \"arguments\": <args-json-object>}</tool_call><|im_end|>\n" }}
{%- endif %}
{%- for message in messages %}
    {%- if message.role == 'system' and loop.first and tools %}
    {%- elif message.role == 'tool' %}
        {%- if loop.first or messages[loop.index0 - 1].role != 'tool' %}{{- '<|im_start|>user' }}{%- endif %}
        {{- '\n<tool_response>\n' + message.content + '\n</tool_response>' }}
        {%- if loop.last or messages[loop.index0 + 1].role != 'tool' %}{{- '<|im_end|>\n' }}{%- endif %}
    {%- elif message.role == 'assistant' and message.tool_calls %}
        {{- '<|im_start|>assistant' }}
        {%- if message.content %}{{- '\n' + message.content }}{%- endif %}
        {%- for tool_call in message.tool_calls %}
            {%- if tool_call.function is defined %}{%- set tool_call = tool_call.function %}{%- endif %}
            {{- '\n<tool_call>{"name": "' + tool_call.name + '", "arguments": ' }}
            {{- tool_call.arguments | tojson }}
            {{- '}</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>\n' }}
    {%- else %}
        {{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}
""".strip()

_TEXT = """
The house at the end of the lane had been empty for years when the first light was seen in its windows. Nobody had come up the road, and no
smoke rose from the chimney; yet every evening, just after the sun had gone down behind the hill, a small lamp was lit in the kitchen and put
out again before the morning. The people of the village talked about it, as people do. Some said that it was the wind, others that it was the
old keeper, who could not leave the place that he had looked after for so long. The children called him the ghost of the house, and they were
not afraid of him, because all that he ever did was good: what had been lost was found again, what had been broken was mended, and the clock on
the wall, which had not been wound since the winter, was never more than a minute slow. When somebody asked a question aloud in the hall there
was an answer written on the slate by the door the next day. It was short, it was in a neat hand, and it was true more often than not.
"Who are you?" a girl once asked. "I am the one who keeps this house," said the slate. "What is here stays here. Nothing that is told to me is
told to anyone else." And so they went on, year after year, with the doors closed and the lamp burning, and everything in its proper place.
{"name": "lamp", "arguments": {"room": "kitchen", "on": true, "level": 7, "colour": null}}, {"items": ["one", "two", "three"], "count": 3}
def answer(question, *, limit=10):
    for number, line in enumerate(open("slate.txt")):
        if question in line and number < limit:
            return line.strip()
    return None
"""

_WORDS = re.compile(r"'(?:s|t|re|ve|m|ll|d)| ?[A-Za-z]+| ?[0-9]+| ?[^\sA-Za-z0-9]+|\s+(?!\S)|\s+")


@dataclass(frozen=True, slots=True)
class Tokenizer:
    """Tokens in order of their ids, their kinds, and further metadata by its GGUF key (merges, special ids, the pre-tokenizer's name)."""

    tokens: Sequence[str]
    types: Sequence[int]
    metadata: dict[str, Any]
    weights: Sequence[float] = field(default_factory=tuple)
    """How often each token should come by chance; empty: no idea."""

    def padded(self, size: int) -> Tokenizer:
        """The same with unused tokens at the end, or cut, so that there are `size`."""
        missing = size - len(self.tokens)
        if missing < 0:
            raise ValueError(f"the tokenizer has {len(self.tokens)} tokens, more than the {size} of the model's vocabulary")
        return Tokenizer(
            [*self.tokens, *(f"[PAD{number}]" for number in range(missing))],
            [*self.types, *(_UNUSED for _ in range(missing))],
            self.metadata,
            [*self.weights, *(0.0 for _ in range(missing))] if self.weights else (),
        )


@lru_cache(maxsize=1)
def learn(merges: int = 320) -> Tokenizer:
    """256 bytes, then what `merges` merges of the text above make, then the special tokens."""
    alphabet = _byte_alphabet()
    words = Counter(tuple(alphabet[byte] for byte in word.encode()) for word in _WORDS.findall(_TEXT))
    learnt: list[tuple[str, str]] = []
    while len(learnt) < merges:
        pairs: Counter[tuple[str, str]] = Counter()
        for word, count in words.items():
            for pair in pairwise(word):
                pairs[pair] += count
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        learnt.append(best)
        words = Counter({_merge(word, best): count for word, count in words.items()})
    tokens = [*alphabet.values(), *dict.fromkeys(left + right for left, right in learnt)]
    seen: Counter[str] = Counter()
    for word, count in words.items():
        for token in word:
            seen[token] += count
    printable = {alphabet[byte] for byte in (*range(32, 127), 10)}
    # A little of every printable sign, and enough quotes and brackets, so that answers bound to a grammar come to their end.
    often = {alphabet[ord(sign)]: 12.0 for sign in '"}]'}
    weights = [often.get(token, 0.0) + seen[token] + (0.2 if token in printable else 0.0) for token in tokens]
    total = sum(weights)
    # Answers end by themselves, and offered tools get called. Where no tools are offered a control token stays invisible.
    chances = {"<|im_end|>": 0.012 * total, "<|endoftext|>": 0.004 * total, "<tool_call>": 0.08 * total}
    tokens += SPECIAL
    weights += [chances.get(token, 0.0) for token in SPECIAL]
    types = [_NORMAL] * (len(tokens) - len(SPECIAL)) + [_CONTROL] * len(SPECIAL)
    number = {token: index for index, token in enumerate(tokens)}
    metadata: dict[str, Any] = {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.merges": [f"{left} {right}" for left, right in learnt],
        "tokenizer.ggml.bos_token_id": number["<|endoftext|>"],
        "tokenizer.ggml.eos_token_id": number["<|im_end|>"],
        "tokenizer.ggml.eot_token_id": number["<|endoftext|>"],
        "tokenizer.ggml.padding_token_id": number["<|endoftext|>"],
        "tokenizer.ggml.seperator_token_id": number["<|sep|>"],  # the format's own spelling
        "tokenizer.ggml.add_bos_token": False,
        **{f"tokenizer.ggml.{name}_token_id": number[token] for name, token in _FIM.items()},
        "tokenizer.chat_template": CHAT_TEMPLATE,
    }
    return Tokenizer(tokens, types, metadata, weights)


def read(path: Path) -> Tokenizer:
    """The tokenizer of a GGUF file, such as the vocabularies that come with llama.cpp's sources."""
    from gguf import GGUFReader

    reader = GGUFReader(path)
    values = {name: entry.contents() for name, entry in reader.fields.items() if name.startswith("tokenizer.")}
    try:
        tokens = values.pop("tokenizer.ggml.tokens")
    except KeyError as error:
        raise ValueError(f"{path} has no tokenizer") from error
    types = values.pop("tokenizer.ggml.token_type", None) or [_NORMAL] * len(tokens)
    return Tokenizer(tokens, types, values)


def write(tokenizer: Tokenizer, writer: Any) -> None:
    """Put it into a `gguf.GGUFWriter`."""
    from gguf import GGUFValueType

    writer.add_token_list(tokenizer.tokens)
    writer.add_token_types(tokenizer.types)
    for name, value in tokenizer.metadata.items():
        if isinstance(value, bool):
            writer.add_bool(name, value)
        elif isinstance(value, int):
            writer.add_uint32(name, value)
        elif isinstance(value, str):
            writer.add_string(name, value)
        elif isinstance(value, list) and value:
            kind = GGUFValueType.FLOAT32 if isinstance(value[0], float) else None
            writer.add_key_value(name, value, GGUFValueType.ARRAY, sub_type=kind) if kind else writer.add_array(name, value)


def _merge(word: tuple[str, ...], pair: tuple[str, str]) -> tuple[str, ...]:
    merged: list[str] = []
    position = 0
    while position < len(word):
        if word[position : position + 2] == pair:
            merged.append(word[position] + word[position + 1])
            position += 2
        else:
            merged.append(word[position])
            position += 1
    return tuple(merged)


def _byte_alphabet() -> dict[int, str]:
    """GPT-2's: a visible letter for each byte, so that tokens are text."""
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in visible]
    letters = {byte: chr(byte) for byte in visible} | {byte: chr(256 + place) for place, byte in enumerate(hidden)}
    return {byte: letters[byte] for byte in range(256)}
