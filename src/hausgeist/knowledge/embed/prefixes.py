"""What embedding models want to read before a question and before a passage, as their cards say. Without it they find clearly less.

Sources, all on Hugging Face: the cards of intfloat/multilingual-e5-small and e5-mistral-7b-instruct, BAAI/bge-large-en-v1.5, bge-large-zh-v1.5 and
bge-m3 (which wants none), nomic-ai/nomic-embed-text-v1.5 and nomic-embed-text-v2-moe, mixedbread-ai/mxbai-embed-large-v1, google/
embeddinggemma-300m, Snowflake/snowflake-arctic-embed-m and -l-v2.0; of Qwen/Qwen3-Embedding-0.6B the file config_sentence_transformers.json.
"""

from __future__ import annotations

import re

__all__ = ["Prefixes", "prefixes"]

Prefixes = tuple[str, str]
"""Before a question, before a passage."""

_RETRIEVE = "Given a web search query, retrieve relevant passages that answer the query"
_REPRESENT = "Represent this sentence for searching relevant passages: "
_FAMILIES: tuple[tuple[str, Prefixes], ...] = (
    (r"e5.*(mistral|instruct)", (f"Instruct: {_RETRIEVE}\nQuery: ", "")),
    (r"(^|[^a-z0-9])e5([^0-9]|$)", ("query: ", "passage: ")),
    (r"bge.*[-_]zh", ("为这个句子生成表示以用于检索相关文章：", "")),
    (r"bge.*[-_]en", (_REPRESENT, "")),
    (r"nomic-?embed-?text", ("search_query: ", "search_document: ")),
    (r"mxbai-?embed", (_REPRESENT, "")),
    (r"arctic-?embed(2|.*(v2|2\.0))", ("query: ", "")),
    (r"arctic-?embed", (_REPRESENT, "")),
    (r"embedding-?gemma", ("task: search result | query: ", "title: none | text: ")),
    (r"qwen3-?embedding", (f"Instruct: {_RETRIEVE}\nQuery:", "")),
)


def prefixes(*names: str) -> Prefixes:
    """By what a model is called: its id, its source, its architecture. None for families that are not known here."""
    for pattern, found in _FAMILIES:
        if any(re.search(pattern, name.lower()) for name in names):
            return found
    return "", ""
