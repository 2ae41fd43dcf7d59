"""Every parameter of the SDK is known by name; each is served, or refused by name when it is set. None is taken and forgotten."""

import base64
import json
from typing import Any, cast, get_args, get_origin

import pytest
import typing_extensions
from openai.types import (
    batch_create_params,
    completion_create_params,
    embedding_create_params,
    file_create_params,
    file_purpose,
    upload_complete_params,
    upload_create_params,
)
from openai.types.chat import completion_create_params as chat_create_params
from openai.types.chat import completion_list_params, completion_update_params
from openai.types.chat.completions import message_list_params
from openai.types.uploads import part_create_params
from openai.types.webhooks import (
    webhook_create_params,
    webhook_list_params,
    webhook_rotate_secret_params,
    webhook_test_params,
    webhook_update_params,
)
from pydantic import BaseModel
from typing_extensions import get_type_hints, is_typeddict

from hausgeist.errors import InvalidRequest, NotSupported
from hausgeist.gateway.bodies import parse
from hausgeist.gateway.openai import batches, chat, completions, embeddings, endpoints, files, inward, messages, stored, tools, webhooks
from hausgeist.gateway.openai.sampling import EXTRAS, StreamOptions, identified
from hausgeist.identity import Origin
from hausgeist.model import InstalledModel, Shape
from hausgeist.webhooks.events import EVENT_TYPES

CHAT = chat_create_params.CompletionCreateParamsStreaming
STORED = completion_update_params.CompletionUpdateParams
COMPLETION = completion_create_params.CompletionCreateParamsStreaming
EMBEDDING = embedding_create_params.EmbeddingCreateParams

OURS = {"num_ctx", "keep_alive"} | set(EXTRAS)
CHAT_OURS = OURS | {"chat_template_kwargs", "reasoning_budget_tokens", "reasoning_format"}
"""What is let through beyond OpenAI's own parameters."""

MODEL = InstalledModel(id="m", engine="llamacpp", path=None, digest="", modified=0)
TEMPLATE = "{% if tools %}{{ tools }}{% endif %}{% if enable_thinking %}<think>{% endif %}{{ messages }}"
CAPABLE = InstalledModel(id="m", engine="llamacpp", path=None, digest="", modified=0, shape=Shape(chat_template=TEMPLATE, vision=True))
PLAIN = InstalledModel(id="plain", engine="llamacpp", path=None, digest="", modified=0, shape=Shape(chat_template="{{ messages }}"))
REMOTE = InstalledModel(id="up/m", engine="remote", path=None, digest="", modified=0)

MESSAGES = [{"role": "user", "content": "hi"}]
TOOL = {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object", "properties": {}}}}
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}


def fields(model: type[BaseModel]) -> set[str]:
    return {info.alias or name for name, info in model.model_fields.items()}


def typed_dicts(annotation: Any) -> list[Any]:
    """Every TypedDict within an annotation, in its order."""
    if is_typeddict(annotation):
        return [annotation]
    return [found for inner in get_args(annotation) for found in typed_dicts(inner)]


def keys(typed: Any) -> set[str]:
    return set(get_type_hints(typed))


@pytest.mark.parametrize(
    ("theirs", "ours", "beyond"),
    [
        (CHAT, chat.ChatRequest, CHAT_OURS),
        (COMPLETION, completions.CompletionRequest, OURS),
        (EMBEDDING, embeddings.EmbeddingRequest, set()),
        (STORED, stored.CompletionUpdate, set()),
        (webhook_create_params.WebhookCreateParams, webhooks.NewWebhook, set()),
        (webhook_update_params.WebhookUpdateParams, webhooks.WebhookUpdate, set()),
        (webhook_rotate_secret_params.WebhookRotateSecretParams, webhooks.RotateSecret, set()),
        (webhook_test_params.WebhookTestParams, webhooks.WebhookTrial, set()),
        (upload_create_params.UploadCreateParams, files.UploadCreate, set()),
        (upload_create_params.ExpiresAfter, files.ExpiresAfter, set()),
        (upload_complete_params.UploadCompleteParams, files.UploadComplete, set()),
        (file_create_params.ExpiresAfter, files.FormExpiry, set()),
        (batch_create_params.BatchCreateParams, batches.BatchCreate, set()),
        (batch_create_params.OutputExpiresAfter, files.ExpiresAfter, set()),
    ],
)
def test_requests_have_the_parameters_of_the_sdk(theirs: Any, ours: type[BaseModel], beyond: set[str]) -> None:
    assert fields(ours) - beyond == keys(theirs)
    assert beyond <= fields(ours)


def test_forms_have_the_parameters_of_the_sdk() -> None:
    assert fields(files.FileForm) | {"file"} == keys(file_create_params.FileCreateParams)
    assert fields(files.PartForm) | {"data"} == keys(part_create_params.PartCreateParams)
    assert literals(files.Purpose) == literals(file_purpose.FilePurpose)
    assert set(inward.BATCHED) < literals(get_type_hints(batch_create_params.BatchCreateParams)["endpoint"])


def test_nested_parameters_are_those_of_the_sdk() -> None:
    hints = get_type_hints(CHAT)
    (options,) = typed_dicts(hints["stream_options"])
    assert fields(StreamOptions) == keys(options)
    formats = {found.__name__: found for found in typed_dicts(hints["response_format"])}
    assert fields(chat.ResponseFormat) == set().union(*(keys(found) for found in formats.values()))
    (schema,) = typed_dicts(get_type_hints(formats["ResponseFormatJSONSchema"])["json_schema"])
    assert fields(chat.JsonSchema) == keys(schema)
    offered = typed_dicts(hints["tools"])
    assert fields(tools.Tool) == set().union(*(keys(found) for found in offered))
    (definition,) = typed_dicts(get_type_hints(offered[0])["function"])
    assert fields(tools.FunctionDefinition) == keys(definition)
    chosen = typed_dicts(hints["tool_choice"])
    assert fields(tools.Choice) == set().union(*(keys(found) for found in chosen))
    allowed = next(found for found in chosen if "allowed_tools" in keys(found))
    assert fields(tools.AllowedTools) == keys(typed_dicts(get_type_hints(allowed)["allowed_tools"])[0])
    (cache,) = typed_dicts(hints["prompt_cache_options"])
    assert fields(chat.PromptCacheOptions) == keys(cache)


def test_messages_have_the_fields_of_the_sdk() -> None:
    beyond = {"assistant": {"reasoning_content", "annotations", "parsed"}, "tool": {"name"}}
    seen = set()
    for typed in typed_dicts(get_type_hints(CHAT)["messages"]):
        (role,) = get_args(get_type_hints(typed)["role"])
        seen.add(role)
        assert messages.ROLES[role] - beyond.get(role, set()) == keys(typed) - {"role"}, role
        parts = {get_args(get_type_hints(part)["type"])[0]: part for part in typed_dicts(get_type_hints(typed)["content"])}
        assert messages.PARTS[role] == set(parts), role
        for part in parts.values():
            assert keys(part) <= fields(messages.Part)
        if "image_url" in parts:
            assert fields(messages.ImageUrl) == keys(typed_dicts(get_type_hints(parts["image_url"])["image_url"])[0])
        if "tool_calls" in keys(typed):
            calls = typed_dicts(get_type_hints(typed)["tool_calls"])
            assert fields(messages.ToolCall) - {"index"} == set().union(*(keys(call) for call in calls))
            assert fields(messages.CalledFunction) - {"parsed_arguments"} == keys(typed_dicts(get_type_hints(calls[0])["function"])[0])
    assert seen == set(messages.ROLES)


@pytest.mark.parametrize(
    ("operation", "theirs"),
    [
        ("chat.completions.list", completion_list_params.CompletionListParams),
        ("chat.completions.messages.list", message_list_params.MessageListParams),
        ("webhooks.list", webhook_list_params.WebhookListParams),
    ],
)
def test_lists_have_the_parameters_of_the_sdk(operation: str, theirs: Any) -> None:
    (endpoint,) = [one for one in endpoints(cast("Any", None)) if operation in one.operations]
    assert set(endpoint.query) == keys(theirs)


def test_events_are_those_of_the_sdk() -> None:
    for params in (webhook_create_params.WebhookCreateParams, webhook_update_params.WebhookUpdateParams):
        assert literals(webhooks.NewWebhook.model_fields["event_types"].annotation) == literals(get_type_hints(params)["event_types"])
    assert literals(webhooks.WebhookTrial.model_fields["event_type"].annotation) >= set(EVENT_TYPES)


def literals(annotation: Any) -> set[str]:
    if get_origin(annotation) is typing_extensions.Literal:
        return {str(value) for value in get_args(annotation)}
    return {found for inner in get_args(annotation) for found in literals(inner)}


@pytest.mark.parametrize("name", ["reasoning_effort", "service_tier", "verbosity", "prompt_cache_retention", "modalities"])
def test_values_are_those_of_the_sdk(name: str) -> None:
    assert literals(chat.ChatRequest.model_fields[name].annotation) == literals(get_type_hints(CHAT)[name])


def decoded(model: InstalledModel = CAPABLE, **parameters: Any) -> dict[str, Any]:
    return chat.decode(chat.ChatRequest.model_validate({"model": "m", "messages": MESSAGES, **parameters}), model)


SERVED: dict[str, list[tuple[dict[str, Any], dict[str, Any]]]] = {
    "messages": [({"messages": [{"role": "system", "content": "s"}]}, {"messages": [{"role": "system", "content": "s"}]})],
    "frequency_penalty": [({"frequency_penalty": 1}, {"frequency_penalty": 1.0})],
    "presence_penalty": [({"presence_penalty": -2.0}, {"presence_penalty": -2.0})],
    "logit_bias": [({"logit_bias": {"7": -100}}, {"logit_bias": {"7": -100.0}})],
    # Asked for no alternatives, the engine would leave out the chosen token's probability as well.
    "logprobs": [({"logprobs": True}, {"logprobs": True, "top_logprobs": 1}), ({"logprobs": False}, {})],
    "top_logprobs": [({"logprobs": True, "top_logprobs": 5}, {"logprobs": True, "top_logprobs": 5})],
    "max_completion_tokens": [({"max_completion_tokens": 5}, {"max_tokens": 5})],
    "max_tokens": [({"max_tokens": 5}, {"max_tokens": 5})],
    "n": [({"n": 3}, {"n": 3}), ({"n": 1}, {})],
    "temperature": [({"temperature": 0}, {"temperature": 0.0})],
    "top_p": [({"top_p": 0.5}, {"top_p": 0.5})],
    # The engine's seeds have 32 bits and its highest one means "random".
    "seed": [({"seed": 7}, {"seed": 7}), ({"seed": -1}, {"seed": 0xFFFF_FFFE}), ({"seed": 2**40 + 1}, {"seed": (2**40 + 1) % 0xFFFF_FFFF})],
    "stop": [({"stop": "a"}, {"stop": ["a"]}), ({"stop": ["a", "b"]}, {"stop": ["a", "b"]}), ({"stop": []}, {})],
    "tools": [({"tools": [TOOL]}, {"tools": [TOOL]})],
    "tool_choice": [
        ({"tools": [TOOL], "tool_choice": "required"}, {"tools": [TOOL], "tool_choice": "required"}),
        ({"tools": [TOOL], "tool_choice": "auto"}, {"tools": [TOOL]}),
        ({"tools": [TOOL], "tool_choice": "none"}, {}),
    ],
    "parallel_tool_calls": [({"tools": [TOOL], "parallel_tool_calls": False}, {"tools": [TOOL], "parallel_tool_calls": False})],
    "response_format": [
        ({"response_format": {"type": "text"}}, {}),
        ({"response_format": {"type": "json_object"}}, {"response_format": {"type": "json_object"}}),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA, "strict": True}}},
            {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA, "strict": True}}},
        ),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "description": "A colour.", "schema": SCHEMA}}},
            {
                "messages": [{"role": "system", "content": 'Answer in the JSON format "x": A colour.'}, *MESSAGES],
                "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA, "strict": True}},
            },
        ),
    ],
    "reasoning_effort": [
        ({"reasoning_effort": "none"}, {"reasoning_effort": "none"}),
        ({"reasoning_effort": "low"}, {"reasoning_budget_tokens": 1024}),
    ],
}
"""What becomes of a parameter in the engine's body."""

ELSEWHERE = {
    "model": "door",
    "stream": "call",
    "stream_options": "call and events",
    "user": "audit",
    "safety_identifier": "audit",
    "service_tier": "echoed",
    "store": "kept afterwards",
    "metadata": "kept with it",
}
"""Served, but not within the engine's body; tests/contract holds these."""

MEANT_ALREADY = {
    "metadata": {},
    "modalities": ["text"],
    "prompt_cache_options": {"mode": "implicit"},
    "prompt_cache_retention": "in_memory",
    "service_tier": "default",
    "store": False,
    "verbosity": "medium",
}
"""Values that ask for what happens anyway."""

REFUSED: dict[str, Any] = {
    "audio": {"format": "wav", "voice": "alloy"},
    "function_call": "auto",
    "functions": [{"name": "f"}],
    "modalities": ["text", "audio"],
    "moderation": {"model": "omni-moderation-latest"},
    "prediction": {"type": "content", "content": "x"},
    "prompt_cache_key": "k",
    "prompt_cache_options": {"mode": "explicit"},
    "prompt_cache_retention": "24h",
    "service_tier": "flex",
    "verbosity": "low",
    "web_search_options": {},
}


def test_the_tables_below_name_every_parameter() -> None:
    assert set(SERVED) | set(ELSEWHERE) | set(MEANT_ALREADY) | set(REFUSED) == keys(CHAT)


@pytest.mark.parametrize(("parameters", "body"), [case for cases in SERVED.values() for case in cases], ids=str)
def test_what_is_served_reaches_the_engine(parameters: dict[str, Any], body: dict[str, Any]) -> None:
    assert decoded(**parameters) == {"messages": MESSAGES, **body}


@pytest.mark.parametrize(("name", "value"), MEANT_ALREADY.items(), ids=str)
def test_what_happens_anyway_may_be_asked_for(name: str, value: Any) -> None:
    assert decoded(**{name: value}) == {"messages": MESSAGES}
    assert decoded(**{name: None}) == {"messages": MESSAGES}


@pytest.mark.parametrize(("name", "value"), REFUSED.items(), ids=str)
def test_what_is_not_served_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(InvalidRequest, match=name) as caught:
        decoded(**{name: value})
    assert caught.value.param == name


@pytest.mark.parametrize(
    "parameters",
    [
        {"messages": []},
        {"messages": "hi"},
        {"messages": None},
        {"model": ""},
        {"temperature": "0.5"},
        {"temperature": 2.1},
        {"temperature": True},
        {"top_p": -0.1},
        {"max_tokens": 0},
        {"max_tokens": -1},
        {"max_tokens": 2**31},
        {"max_tokens": 5, "max_completion_tokens": 5},
        {"n": 0},
        {"n": 129},
        {"stop": ""},
        {"stop": ["a", ""]},
        {"stop": ["a"] * 17},
        {"stop": [1]},
        {"logit_bias": {"the": 1}},
        {"logit_bias": {"-1": 1}},
        {"logit_bias": {"1": 101}},
        {"logit_bias": {"1": False}},
        {"logit_bias": [[1, 2]]},
        {"top_logprobs": 2},
        {"logprobs": True, "top_logprobs": 21},
        {"stream_options": {"include_usage": True}},
        {"stream": True, "stream_options": {"nonsense": True}},
        {"response_format": {"type": "json_schema"}},
        {"response_format": {"type": "xml"}},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "has a space", "schema": {}}}},
        {"tool_choice": "required"},
        {"tools": [TOOL, TOOL]},
        {"tools": [{"type": "function"}]},
        {"tools": [{"type": "function", "function": {"name": "with space"}}]},
        {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "other"}}},
        {"tools": [TOOL], "tool_choice": {"type": "function"}},
        {"reasoning_effort": "huge"},
        {"chat_template_kwargs": {"messages": []}},
        {"chat_template_kwargs": {"a b": 1}},
        {"metadata": {"a": 1}},
        {"metadata": {"a": "b"}},
        {"metadata": {"a": "b"}, "store": False},
        {"metadata": {"k" * 65: "v"}, "store": True},
        {"store": "yes"},
        {"repeat_last_n": 2**31 - 1},
        {"dry_penalty_last_n": 2**31 - 1},
        {"repeat_penalty": 0},
        {"dry_sequence_breakers": []},
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused(parameters: dict[str, Any]) -> None:
    body = {"model": "m", "messages": MESSAGES, **parameters}
    with pytest.raises(InvalidRequest) as caught:
        chat.decode(parse(json.dumps(body).encode(), chat.ChatRequest), CAPABLE)
    assert not isinstance(caught.value, NotSupported)


@pytest.mark.parametrize(
    "name",
    [
        *("id_slot", "slot", "cache_prompt", "n_probs", "n_predict", "n_keep", "n_discard", "n_indent", "n_cache_reuse", "n_cmpl", "min_keep"),
        *("t_max_predict_ms", "response_fields", "return_tokens", "return_progress", "timings_per_token", "verbose", "post_sampling_probs"),
        *("samplers", "backend_sampling", "sse_ping_interval", "lora", "grammar", "grammar_lazy", "grammar_triggers", "json_schema"),
        *("preserved_tokens", "chat_format", "chat_parser", "parse_tool_calls", "generation_prompt", "message_delimiters", "prompt"),
        *("add_generation_prompt", "continue_final_message", "reasoning_control", "reasoning_budget_start_tag", "multimodal_data", "nonsense"),
    ],
)
def test_private_fields_of_engines_are_unknown(name: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse(f'{{"model": "m", "messages": [{{"role": "user", "content": "hi"}}], "{name}": 1}}'.encode(), chat.ChatRequest)
    assert caught.value.param == name


def test_sampling_extras_are_let_through() -> None:
    extras = {
        **{"top_k": 5, "min_p": 0.1, "typical_p": 0.9, "top_n_sigma": 1.0, "xtc_probability": 0.1, "xtc_threshold": 0.2, "dynatemp_range": 0.5},
        **{"dynatemp_exponent": 1.5, "repeat_penalty": 1.1, "repeat_last_n": 32, "dry_multiplier": 0.8, "dry_base": 1.75, "dry_allowed_length": 2},
        **{"dry_penalty_last_n": 10, "dry_sequence_breakers": ["\n"], "mirostat": 2, "mirostat_tau": 5.0, "mirostat_eta": 0.1, "ignore_eos": True},
    }
    assert set(extras) == set(EXTRAS)
    assert decoded(**extras) == {"messages": MESSAGES, **extras}
    assert decoded(top_k=-1, repeat_last_n=-1) == {"messages": MESSAGES, "top_k": 0, "repeat_last_n": 65_536}


def test_an_upstream_gets_what_it_understands() -> None:
    assert decoded(REMOTE, top_k=5, repeat_penalty=1.1, ignore_eos=True) == {
        "messages": MESSAGES,
        "top_k": 5,
        "repetition_penalty": 1.1,
        "ignore_eos": True,
    }
    with pytest.raises(NotSupported, match="mirostat"):
        decoded(REMOTE, mirostat=2)
    with pytest.raises(NotSupported, match="reasoning_budget_tokens"):
        decoded(REMOTE, reasoning_budget_tokens=5)


def test_models_that_do_not_reason_or_call_tools_say_so() -> None:
    with pytest.raises(InvalidRequest, match="does not reason"):
        decoded(PLAIN, reasoning_effort="high")
    assert decoded(PLAIN, reasoning_effort="none")["reasoning_effort"] == "none"
    with pytest.raises(NotSupported, match="cannot call tools"):
        decoded(PLAIN, tools=[TOOL])
    assert decoded(PLAIN, tools=[TOOL], tool_choice="none") == {"messages": MESSAGES}


def test_levels_of_effort_go_to_templates_that_have_them() -> None:
    model = InstalledModel(id="m", engine="llamacpp", path=None, digest="", modified=0, template="{{ reasoning_effort }}{{ messages }}")
    assert decoded(model, reasoning_effort="high") == {"messages": MESSAGES, "reasoning_effort": "high"}
    assert decoded(reasoning_effort="max")["reasoning_budget_tokens"] == -1
    assert decoded(reasoning_effort="high", reasoning_budget_tokens=9)["reasoning_budget_tokens"] == 9


def test_what_the_engine_cannot_do_at_once_is_refused() -> None:
    schema = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}
    with pytest.raises(NotSupported) as caught:
        decoded(tools=[TOOL], response_format=schema)
    assert caught.value.param == "response_format"
    # A tool that must be called is all there is to answer.
    assert "response_format" not in decoded(tools=[TOOL], response_format=schema, tool_choice="required")
    assert "response_format" in decoded(tools=[TOOL], response_format=schema, tool_choice="none")
    with pytest.raises(NotSupported) as caught:
        decoded(tools=[TOOL], logprobs=True, stream=True)
    assert caught.value.param == "logprobs"
    with pytest.raises(NotSupported) as caught:
        decoded(stream=True, stream_options={"include_obfuscation": True})
    assert caught.value.param == "stream_options"


def plans(**parameters: Any) -> list[completions.Plan]:
    return completions.decode(completions.CompletionRequest.model_validate({"model": "m", **parameters}), MODEL)


def test_completions_in_all_their_forms() -> None:
    assert [plan.body for plan in plans(prompt="a")] == [{"prompt": "a", "max_tokens": 16}]
    assert [plan.prompt for plan in plans(prompt=["a", "b"])] == ["a", "b"]
    assert [plan.prompt for plan in plans(prompt=[1, 2])] == [[1, 2]]
    assert [plan.prompt for plan in plans(prompt=[[1], [2, 3]])] == [[1], [2, 3]]
    assert [plan.prompt for plan in plans()] == [""]
    two = plans(prompt=["a", "b"], n=2, max_tokens=3)
    assert [(plan.first, plan.asked, plan.wanted, plan.body["n"]) for plan in two] == [(0, 2, 2, 2), (2, 2, 2, 2)]
    (best,) = plans(prompt="a", n=2, best_of=5)
    assert (best.asked, best.wanted, best.body["n"], best.body["logprobs"]) == (5, 2, 5, 1)
    assert plans(prompt="a", logprobs=0)[0].body["logprobs"] == 1
    assert plans(prompt="a", max_tokens=0, echo=True)[0].body["max_tokens"] == 0


def test_suffix_becomes_infill() -> None:
    gaps = plans(prompt=["a", "b"], suffix="z", n=2, seed=5, logprobs=3, stop="x")
    assert [(gap.infill, gap.first, gap.body["input_prefix"], gap.body["input_suffix"], gap.body["seed"]) for gap in gaps] == [
        (True, 0, "a", "z", 5),
        (True, 1, "a", "z", 6),
        (True, 2, "b", "z", 5),
        (True, 3, "b", "z", 6),
    ]
    assert gaps[0].body["n_probs"] == 3
    assert gaps[0].body["stop"] == ["x"]
    assert "prompt" not in gaps[0].body
    assert not plans(prompt="a", suffix="")[0].infill


@pytest.mark.parametrize(
    ("parameters", "param"),
    [
        ({"prompt": "a", "echo": True, "logprobs": 1}, "echo"),
        ({"prompt": [1], "suffix": "z"}, "suffix"),
        ({"prompt": "a", "suffix": "z", "best_of": 2}, "best_of"),
        ({"prompt": ["a"] * 300}, "prompt"),
    ],
)
def test_completions_that_are_refused(parameters: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        plans(**parameters)
    assert caught.value.param == param


@pytest.mark.parametrize(
    "parameters",
    [
        {"prompt": []},
        {"prompt": [[]]},
        {"prompt": [-1]},
        {"prompt": ["a", 1]},
        {"prompt": {"prompt_string": "a", "multimodal_data": []}},
        {"prompt": "a", "best_of": 1, "n": 2},
        {"prompt": "a", "best_of": 2, "stream": True},
        {"prompt": "a", "logprobs": 6},
        {"prompt": "a", "messages": []},
    ],
    ids=str,
)
def test_completions_that_make_no_sense(parameters: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        plans(**parameters)


@pytest.mark.parametrize("value", ["", [], [""], ["a", ""], [[]], [-1], ["a", 1], None, 5, ["a"] * 2049], ids=lambda value: str(value)[:20])
def test_inputs_that_cannot_be_embedded(value: Any) -> None:
    with pytest.raises((ValueError, InvalidRequest)):
        _ = embeddings.EmbeddingRequest.model_validate({"model": "m", "input": value}).inputs


def test_vectors_are_cut_and_brought_back_to_length_one() -> None:
    packed = base64.b64encode(b"\x00\x00\x40\x40\x00\x00\x80\x40\x00\x00\xa0\x40").decode()  # 3, 4, 5 as little-endian float32
    assert embeddings.shortened([3.0, 4.0, 5.0], 2, packed=False) == pytest.approx([0.6, 0.8])
    assert embeddings.shortened(packed, 2, packed=False) == pytest.approx([0.6, 0.8])
    assert embeddings.shortened(packed, None, packed=True) is packed
    assert embeddings.shortened(packed, None, packed=False) == [3.0, 4.0, 5.0]
    assert embeddings.shortened([3.0, 4.0, 5.0], None, packed=True) == packed
    assert embeddings.shortened([0.0, 0.0], 1, packed=False) == [0.0]
    with pytest.raises(InvalidRequest) as caught:
        embeddings.shortened(packed, 4, packed=True)
    assert caught.value.param == "dimensions"


def test_end_users_are_named_in_the_origin() -> None:
    origin = Origin("127.0.0.1", "agent", "req_1")
    assert identified(origin, None) is origin
    assert identified(origin, "ada") == Origin("127.0.0.1", "user ada via agent", "req_1")
    with pytest.raises(InvalidRequest):
        identified(origin, "a\nb")
