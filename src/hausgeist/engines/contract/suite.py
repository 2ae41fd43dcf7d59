"""The list of all checks."""

from __future__ import annotations

from hausgeist.engines.contract import generate, vectors
from hausgeist.engines.contract.checks import Check

__all__ = ["CHECKS"]

CHECKS: tuple[Check, ...] = (
    Check("chat", "an answer in OpenAI's shape, with usage", generate.chat),
    Check("chat stream", "events, the usage at the end when asked for, then [DONE]", generate.chat_stream),
    Check("max_tokens", "ends there, with finish_reason length", generate.max_tokens),
    Check("seed", "the same seed gives the same answer", generate.seed),
    Check("stop", "a stop string ends the answer before it, streaming or not", generate.stop),
    Check("stop told", "the engine tells which stop string it was", generate.stop_told, optional=True),
    Check("logprobs", "log probabilities of tokens and of their alternatives", generate.logprobs),
    Check("json schema", "what is said is an instance of the schema", generate.json_schema),
    Check("tools", "a required tool is called by its schema, its result taken", generate.tools),
    Check("tools stream", "a call in pieces adds up", generate.tools_stream),
    Check("completion", "plain text goes on", generate.completion),
    Check("completion stream", "the same in events", generate.completion_stream),
    Check("completion of tokens", "a prompt may be token numbers", generate.completion_tokens, optional=True),
    Check("infill", "text between a prefix and a suffix", generate.infill, optional=True),
    Check("count", "counted tokens are the tokens used", generate.count, optional=True),
    Check("tokens", "text to tokens and back", generate.tokens, optional=True),
    Check("over context", "a prompt too long is a 400 that names both numbers", generate.over_context),
    Check("bad body", "a wrong body is a 4xx and harms nobody", generate.bad_body),
    Check("several", "n answers at once", generate.several, optional=True),
    Check("several, stream", "the same in events", generate.several_stream, optional=True),
    Check("unicode", "characters arrive whole", generate.unicode),
    Check("parallel", "requests side by side do not mix", generate.parallel),
    Check("private cache", "id_slot and cache_prompt are obeyed", generate.cache, optional=True),
    Check("close early", "a reader who leaves frees the slot", generate.close_early),
    Check("embeddings", "unit vectors", vectors.embeddings, task="embed"),
    Check("embeddings, batch", "a batch keeps its order", vectors.embed_order, task="embed"),
    Check("embeddings, base64", "the same as 32 bit floats", vectors.embed_base64, task="embed"),
    Check("embeddings over context", "a text too long is an error that names both numbers", vectors.embeddings_over_context, task="embed"),
    Check("embeddings, bad body", "a wrong body is a 4xx", vectors.embeddings_bad_body, task="embed"),
    Check("rerank", "each document once, best first, however they were ordered", vectors.rerank, task="rerank"),
    Check("rerank, bad body", "a wrong body is a 4xx", vectors.rerank_bad_body, task="rerank"),
)
