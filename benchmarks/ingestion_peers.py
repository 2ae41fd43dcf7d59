"""LangChain and LlamaIndex with Chroma, as their manuals put them together: `PYTHON benchmarks/ingestion_peers.py NAME FOLDER KEPT`, in a Python of
their own. Reads the text files of a folder, cuts them, and keeps them with vectors that are looked up. Prints seconds by the clock, seconds of the
processor and passages as JSON. Nothing of Hausgeist is imported."""

from __future__ import annotations

import json
import resource
import sys
import time
import zlib
from collections.abc import Callable
from typing import Any

__all__ = ["langchain", "llamaindex", "vectors"]

_CHARACTERS, _WORDS = 1700, 300
"""Of a passage at most: about 400 tokens. Words, as LlamaIndex would load the table of its tokenizer from the network; to count them is quicker."""


def vectors() -> list[list[float]]:
    """A thousand of 384 numbers and length 1, of which each text has one."""
    import numpy as np

    made = np.random.default_rng(7).normal(size=(1000, 384)).astype(np.float32)
    found: list[list[float]] = (made / np.linalg.norm(made, axis=1, keepdims=True)).tolist()
    return found


def _number(text: str) -> int:
    return zlib.crc32(text.encode()) % 1000


def langchain(folder: str, kept: str) -> Callable[[], int]:
    from langchain_chroma import Chroma
    from langchain_community.document_loaders import DirectoryLoader, TextLoader
    from langchain_core.embeddings import Embeddings
    from langchain_text_splitters import RecursiveCharacterTextSplitter

    pool = vectors()

    class Looked(Embeddings):
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            return [pool[_number(text)] for text in texts]

        def embed_query(self, text: str) -> list[float]:
            return pool[_number(text)]

    def run() -> int:
        documents = DirectoryLoader(folder, glob="*.txt", loader_cls=TextLoader, loader_kwargs={"encoding": "utf-8"}).load()
        parts = RecursiveCharacterTextSplitter(chunk_size=_CHARACTERS, chunk_overlap=0).split_documents(documents)
        store = Chroma("documents", Looked(), persist_directory=kept)
        for at in range(0, len(parts), 1000):
            store.add_documents(parts[at : at + 1000])
        return len(parts)

    return run


def llamaindex(folder: str, kept: str) -> Callable[[], int]:
    import chromadb
    from llama_index.core import SimpleDirectoryReader, StorageContext, VectorStoreIndex, set_global_tokenizer
    from llama_index.core.embeddings import BaseEmbedding
    from llama_index.core.node_parser import SentenceSplitter
    from llama_index.vector_stores.chroma import ChromaVectorStore

    pool = vectors()
    set_global_tokenizer(str.split)

    class Looked(BaseEmbedding):  # type: ignore[misc]
        def _get_text_embedding(self, text: str) -> list[float]:
            return pool[_number(text)]

        def _get_query_embedding(self, query: str) -> list[float]:
            return pool[_number(query)]

        async def _aget_query_embedding(self, query: str) -> list[float]:
            return pool[_number(query)]

    def run() -> int:
        documents = SimpleDirectoryReader(folder).load_data()
        nodes = SentenceSplitter(chunk_size=_WORDS, chunk_overlap=0, tokenizer=str.split).get_nodes_from_documents(documents)
        collection = chromadb.PersistentClient(kept).get_or_create_collection("documents")
        context = StorageContext.from_defaults(vector_store=ChromaVectorStore(chroma_collection=collection))
        VectorStoreIndex(nodes, storage_context=context, embed_model=Looked(embed_batch_size=500))
        return len(nodes)

    return run


def _main(name: str, folder: str, kept: str) -> dict[str, Any]:
    # Importing and the model's making do not count.
    run = {"langchain": langchain, "llamaindex": llamaindex}[name](folder, kept)
    began, used = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
    passages = run()
    spent = resource.getrusage(resource.RUSAGE_SELF)
    processor = spent.ru_utime + spent.ru_stime - used.ru_utime - used.ru_stime
    return {"seconds": time.perf_counter() - began, "processor": processor, "passages": passages}


if __name__ == "__main__":
    print(json.dumps(_main(*sys.argv[1:4])))
