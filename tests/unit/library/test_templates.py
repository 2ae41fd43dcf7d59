"""Ollama's templates as Jinja: what is rendered is what Ollama would have sent, and what cannot be translated says so."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2.sandbox import ImmutableSandboxedEnvironment

from hausgeist.library.templates import Untranslatable, is_go, translate
from tests.templates import (
    ALPACA,
    CALLED,
    CHATML,
    CHATML_MESSAGES,
    GEMMA,
    GEMMA3,
    LLAMA2,
    LLAMA3,
    MISTRAL,
    PHI3,
    QWEN,
    TOOLS,
    VICUNA,
    ZEPHYR,
    Messages,
    said,
)


def environment() -> ImmutableSandboxedEnvironment:
    """As transformers and llama.cpp have it: `tojson` is plain JSON."""
    made = ImmutableSandboxedEnvironment()
    made.filters["tojson"] = lambda value: json.dumps(value, ensure_ascii=False)
    made.globals["strftime_now"] = lambda pattern: "2026-11-28"
    return made


JINJA = environment()


def render(template: str, messages: Messages, **more: Any) -> str:
    return JINJA.from_string(translate(template)).render(messages=messages, add_generation_prompt=True, **more)


@pytest.mark.parametrize(
    ("template", "messages", "expected"),
    [
        (CHATML, said("Hi"), "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"),
        (
            CHATML,
            said("Hi", "Hello", "How?", system="Be kind."),
            "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello<|im_end|>\n"
            "<|im_start|>user\nHow?<|im_end|>\n<|im_start|>assistant\n",
        ),
        (CHATML, said("Hi", "Hel"), "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHel"),
        (
            CHATML_MESSAGES,
            said("Hi", "Hello", "How?", system="Be kind."),
            "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello<|im_end|>\n"
            "<|im_start|>user\nHow?<|im_end|>\n<|im_start|>assistant\n",
        ),
        (CHATML_MESSAGES, said("Hi", "Hel"), "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHel"),
        (LLAMA2, said("Hi"), "[INST] Hi [/INST] "),
        (
            LLAMA2,
            said("Hi", "Hello", "How?", system="Be kind."),
            "[INST] <<SYS>>\nBe kind.\n<</SYS>>\n\nHi [/INST] Hello</s><s>[INST] How? [/INST] ",
        ),
        (
            LLAMA3,
            said("Hi", "Hello", "How?", system="Be kind."),
            "<|start_header_id|>system<|end_header_id|>\n\nBe kind.<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\nHello<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nHow?<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\n",
        ),
        # Without .Response it is added at the end, as Ollama does.
        (MISTRAL, said("Hi", "Hello", "How?", system="Be kind."), "[INST] Be kind. Hi [/INST]Hello[INST] How? [/INST]"),
        (
            GEMMA,
            said("Hi", "Hello", "How?", system="Be kind."),
            "<start_of_turn>user\nBe kind. Hi<end_of_turn>\n<start_of_turn>model\nHello<end_of_turn>\n<start_of_turn>user\nHow?<end_of_turn>\n"
            "<start_of_turn>model\n",
        ),
        (PHI3, said("Hi", system="Be kind."), "<|system|>\nBe kind.<|end|>\n<|user|>\nHi<|end|>\n<|assistant|>\n"),
        (
            ALPACA,
            said("Hi", "Hello", "How?", system="Be kind."),
            "\nBe kind.\n\n### Instruction:\nHi\n\n### Response:\nHello\n\n### Instruction:\nHow?\n\n### Response:\n",
        ),
        (VICUNA, said("Hi", "Hello", "How?", system="Be kind."), "Be kind.\nUSER: Hi\nASSISTANT: Hello</s>\n\nUSER: How?\nASSISTANT: "),
        (ZEPHYR, said("Hi"), "<|user|>\nHi</s>\n<|assistant|>\n"),
        (
            GEMMA3,
            said("Hi", "Hello", "How?", system="Be kind."),
            "<start_of_turn>user\nBe kind.<end_of_turn>\n<start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\nHello<end_of_turn>\n"
            "<start_of_turn>user\nHow?<end_of_turn>\n<start_of_turn>model\n",
        ),
        # Messages of one role in a row are one; a system prompt in the middle begins a turn.
        (LLAMA2, [*said("a"), *said("b")], "[INST] a\n\nb [/INST] "),
        (LLAMA2, [*said("a", "b"), *said("c", system="s")], "[INST] a [/INST] b</s><s>[INST] <<SYS>>\ns\n<</SYS>>\n\nc [/INST] "),
        (
            CHATML_MESSAGES,
            [{"role": "developer", "content": "x"}, *said("a")],
            "<|im_start|>system\nx<|im_end|>\n<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\n",
        ),
        # Braces and quotes of people are text, not template.
        (LLAMA2, said("{{ .System }} {% raw %} 'x' \\n"), "[INST] {{ .System }} {% raw %} 'x' \\n [/INST] "),
    ],
)  # fmt: skip
def test_well_known_templates(template: str, messages: Messages, expected: str) -> None:
    assert render(template, messages) == expected


def test_tools_and_what_they_said() -> None:
    assert render(QWEN, CALLED, tools=TOOLS) == (
        '<|im_start|>system\n\n# Tools\n\n<tools>\n{"type": "function", "function": ' + json.dumps(TOOLS[0]["function"]) + "}\n</tools><|im_end|>\n"
        "<|im_start|>user\nRain?<|im_end|>\n"
        '<|im_start|>assistant\n<tool_call>\n{"name": "weather", "arguments": {"place": "Kiel"}}\n</tool_call><|im_end|>\n'
        "<|im_start|>user\n<tool_response>\nwet\n</tool_response><|im_end|>\n<|im_start|>user\n<tool_response>\ncold\n</tool_response><|im_end|>\n"
        "<|im_start|>assistant\n"
    )
    as_text = json.loads(json.dumps(CALLED))
    as_text[1]["tool_calls"][0]["function"]["arguments"] = '{"place": "Kiel"}'
    assert render(QWEN, as_text, tools=TOOLS) == render(QWEN, CALLED, tools=TOOLS)
    assert "Tools" not in render(QWEN, said("x", system="s"))


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{{ range .Messages }}{{ end }}{{ range .Tools }}{{ .Function.Name }}("
         "{{ range $n, $p := .Function.Parameters.Properties }}{{ $n }}:{{ $p.Type }};{{ end }}){{ end }}",
         'weather(place:string;days:["integer", "null"];)'),
        ("{{ json .Tools }}{{ range .Messages }}{{ end }}", json.dumps(TOOLS)),
        ("{{ .Tools | json }}{{ range .Messages }}{{ end }}", json.dumps(TOOLS)),
        ("{{ range .Messages }}{{ range .ToolCalls }}{{ with .Function }}{{ .Name }}{{ end }}"
         "{{ range $k, $v := .Function.Arguments }} {{ $k }}={{ $v }}{{ end }}{{ end }}{{ end }}",
         "weather place=Kiel"),
        ("{{ range $i, $m := .Messages }}{{ $i }}{{ $m.Role }} {{ else }}none{{ end }}", "0user 1assistant 2tool 3tool "),
        ("{{ range .Messages }}{{ with .ToolName }}{{ . }}{{ else }}-{{ end }}{{ end }}", "--weather-"),
        ("{{ $seen := false }}{{ range .Messages }}"
         "{{ if eq .Role \"tool\" }}{{ if not $seen }}first{{ end }}{{ $seen = true }}{{ end }}{{ end }}{{ $seen }}", "firsttrue"),
        ("{{ (index .Messages 0).Content }}{{ len .Messages }}", "Rain?4"),
        ("{{ range slice .Messages 1 3 }}{{ .Role }} {{ end }}", "assistant tool "),
        ("{{ range .Messages }}{{ if eq .Role \"user\" \"tool\" }}{{ .Role }} {{ end }}{{ end }}", "user tool tool "),
        ("{{ range $i, $_ := .Messages }}{{ if and (gt $i 0) (le $i 2) }}{{ $i }}{{ end }}{{ end }}", "12"),
        ('{{ range .Messages }}{{ end }}{{ printf "%s-%d%%\\n" "a" 7 }}{{ print "x" "y" }}', "a-7%\nxy"),
        ("{{ range .Messages }}{{ end }}{{ currentDate }}", "2026-11-28"),
        ("{{ range .Messages }}{{ end }}{{ if .Think }}on{{ else }}off{{ end }}{{ .IsThinkSet }}", "offfalse"),
        ("a {{- /* a comment with }} and \" */ -}} b{{ range .Messages }}{{ end }}", "ab"),
        ("{{ range .Messages }}{{ end }}{{ `raw }} \\n` }}", "raw }} \\n"),
        ("{{ range .Messages }}{{ end }}{{ \"\\u00e9\\\"{{\" }}{{ \"\" }}", "é\"{{"),
        ("{{ range .Messages }}{{ end }} \n {{- 3 }} {{ 3 -}} \n {{ true }}", "3 3true"),
        ("{{ range .Messages }}{{ end }}{%- if 1 -%}{{ \"{# no #}\" }}{%- endif -%}", "{%- if 1 -%}{# no #}{%- endif -%}"),
    ],
)  # fmt: skip
def test_each_part_of_the_language(template: str, expected: str) -> None:
    assert render(template, CALLED, tools=TOOLS) == expected


def test_thinking_is_handed_over() -> None:
    template = "{{ range .Messages }}{{ .Thinking }}{{ end }}{{ if .IsThinkSet }}{{ if .Think }} /think{{ else }} /no_think{{ end }}{{ end }}"
    messages = [*said("a"), {"role": "assistant", "content": "b", "reasoning_content": "hm"}]
    assert render(template, messages) == "hm"
    assert render(template, messages, enable_thinking=True) == "hm /think"
    assert render(template, messages, enable_thinking=False) == "hm /no_think"


@pytest.mark.parametrize(
    "template",
    [
        "{{", "{{ .System", "{{ if .System }}", "{{ end }}", "{{ else }}", "{{ if }}x{{ end }}", "{{ range .System }}{{ end }}",
        "{{ .Nope.Deeper | upper }}", "{{ define \"x\" }}{{ end }}", "{{ template \"x\" }}", "{{ range .Messages }}{{ break }}{{ end }}",
        "{{ . }}", "{{ $ }}", "{{ $x }}", "{{ $x = 1 }}", "{{ range .Messages }}{{ . }}{{ end }}", "{{ range .Messages }}{{ .Images }}{{ end }}",
        "{{ range .Messages }}{{ .ToolCalls }}{{ end }}", "{{ call .System }}", "{{ html .System }}", "{{ printf \"%q\" .System }}",
        "{{ printf .System 1 }}", "{{ 1.5 }}", "{{ 'a' }}", "{{ \"\\x41\" }}", "{{ }}", "{{ (.System }}", "{{ .System) }}", "{{ .System 1 }}",
        "{{ | json }}", "{{ .System | }}", "{{ /* }}", "{{ if $x = 1 }}{{ end }}", "a\x01b{{ .Prompt }}", "{{ $x := 1 }}{{ $x = \"a\" }}",
        "{{ if .System }}{{ $y := 1 }}{{ end }}{{ $y }}", "{{ 99999999999999999999 }}", "{{ if .System }}" * 200,
        "{{ if .System }}a{{ else " * 200, "{{ (" * 2 + "(" * 5000, "{{ .Prompt }}" * 6000, "x" * 200_000,
        "{{ range .Messages }}" * 5 + "{{ end }}" * 5, "{{ if .Messages }}{{ end }}{{ or .System .Messages }}",
    ],
)  # fmt: skip
def test_what_cannot_be_translated_says_so(template: str) -> None:
    with pytest.raises(Untranslatable) as caught:
        translate(template)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 120


def test_the_languages_are_told_apart() -> None:
    assert all(is_go(template) for template in (CHATML, CHATML_MESSAGES, LLAMA2, QWEN, GEMMA3, "{{- /* x */}}", "{{.Prompt}}"))
    assert not any(is_go(text) for text in ("{{ messages[0].content }}", "{% for m in messages %}{{ m }}{% endfor %}", "plain", "{{- bos_token }}"))


content = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
turns = st.lists(st.fixed_dictionaries({"role": st.sampled_from(["system", "user", "assistant", "tool"]), "content": content}), max_size=6)


def expected_turns(messages: Messages) -> str:
    """LLAMA2 as Ollama executes it, written down a second time."""
    merged: Messages = []
    for one in messages:
        if merged and merged[-1]["role"] == one["role"] != "tool":
            merged[-1] = {"role": one["role"], "content": merged[-1]["content"] + "\n\n" + one["content"]}
        else:
            merged.append(dict(one))
    out, system, prompt, response = "", "", "", ""

    def turn(*, closed: bool) -> str:
        return "[INST] " + (f"<<SYS>>\n{system}\n<</SYS>>\n\n" if system else "") + prompt + " [/INST] " + response + ("</s><s>" if closed else "")

    for one in merged:
        if (one["role"] == "system" and (prompt or response)) or (one["role"] == "user" and response):
            out += turn(closed=True)
            system = prompt = response = ""
        match one["role"]:
            case "system":
                system = one["content"]
            case "user":
                prompt = one["content"]
            case "assistant":
                response = one["content"]
    return out + turn(closed=False)


@given(turns)
def test_any_conversation_is_rendered_turn_by_turn(messages: Messages) -> None:
    assert render(LLAMA2, messages) == expected_turns(messages)


crumbs = [*"{}-.|$()\"`'\\ \n/*=:,%x1", "{{", "}}", "{{ ", " }}", "if ", "end", "else", "range ", ".Messages", ".System", "$x", ":=", "eq ", "len "]


@given(st.lists(st.sampled_from(crumbs), max_size=40).map("".join))
def test_any_text_is_translated_or_refused(template: str) -> None:
    try:
        jinja = translate(template)
    except Untranslatable:
        return
    JINJA.from_string(jinja).render(messages=said("a", "b", system="c"))


@given(content)
def test_plain_text_comes_out_as_it_is(text: str) -> None:
    plain = text.replace("{{", "(").rstrip("{")  # which would begin the action that follows
    try:
        jinja = translate(plain + "{{ range .Messages }}{{ end }}")
    except Untranslatable:
        assert any(ord(character) < 32 for character in text)
        return
    assert JINJA.from_string(jinja).render(messages=[]) == plain


def test_a_short_template_does_not_become_a_huge_one() -> None:
    """Comparing with several values mentions the first one several times, and comparisons can be nested."""
    nested = ".Prompt"
    for _ in range(20):
        nested = f"(eq {nested} 1 2)"
    wide = f'{{{{ eq "{"a" * 10_000}" {"1 " * 2000}}}}}'
    many = f'{{{{ .Prompt }}}}{{{{ "{"a" * 100}" }}}}' * 100 + "{{ range .Messages }}{{ range .ToolCalls }}"
    tracemalloc.start()
    try:
        for template in (f"{{{{ if {nested} }}}}x{{{{ end }}}}", wide, many):
            with pytest.raises(Untranslatable):
                translate(template)
        assert tracemalloc.get_traced_memory()[1] < 4 * 2**20
    finally:
        tracemalloc.stop()


def test_half_a_surrogate_pair_is_no_text() -> None:
    with pytest.raises(Untranslatable, match="escape"):
        translate('{{ .Prompt }}{{ "\\ud800" }}')
