"""A fake worker: takes the bodies that llama-server takes, answers in its shapes and at a steady pace, in this process and without I/O."""

from __future__ import annotations

import asyncio
import json
import struct
from base64 import b64encode
from collections.abc import Callable, Sequence
from typing import Any

from hausgeist.engines.base import Operation, SlotState, WorkerGone
from hausgeist.engines.fake import asked
from hausgeist.engines.fake.manners import Manner, Question, Turn, forced
from hausgeist.engines.fake.reply import Answering, Failed, Pace, Whole
from hausgeist.engines.fake.slots import Slots
from hausgeist.engines.fake.steps import CallTool, Composition, Say, Step, Think, compose
from hausgeist.engines.fake.text import DIMENSIONS, clean, detokenize, embed, pieces, relevance, token_id
from hausgeist.engines.fake.wire import Chat, Clock, Completion, Format, Infill, dumps, error
from hausgeist.errors import InvalidRequest, NotSupported
from hausgeist.model import Footprint, LaunchPlan

__all__ = ["FakeWorker"]

_TASKS: dict[Operation, str] = {"chat": "generate", "completion": "generate", "infill": "generate", "embeddings": "embed", "rerank": "rerank"}


class FakeWorker:
    """Behaves as `manner` does. `rate`: tokens per second of each stream; 0: as fast as they are read."""

    def __init__(self, plan: LaunchPlan, manner: Manner, rate: float) -> None:
        self._plan = plan
        self._manner = manner
        self._rate = rate
        self._slots = Slots(plan.slots)
        self._running: set[Answering] = set()
        self._ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._operations: dict[Operation, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "embeddings": self._embeddings,
            "rerank": self._rerank,
            "count_chat": self._count_chat,
            "tokenize": self._tokenize,
            "detokenize": self._detokenize,
            "apply_template": self._apply_template,
        }

    @property
    def plan(self) -> LaunchPlan:
        return self._plan

    @property
    def pid(self) -> int | None:
        return None

    @property
    def private_fields(self) -> bool:
        return True

    @property
    def alive(self) -> bool:
        return not self._ended.done()

    async def slots(self) -> Sequence[SlotState]:
        return self._slots.states()

    def measured(self) -> Footprint:
        return Footprint(host=0)

    async def wait(self) -> str:
        return await asyncio.shield(self._ended)

    async def close(self, *, patience: float = 3.0) -> None:
        self._end("The fake worker was closed.")

    async def call(self, operation: Operation, body: bytes) -> Whole | Answering:
        if not self.alive:
            raise WorkerGone(self._ended.result())
        if _TASKS.get(operation, self._plan.task) != self._plan.task:
            raise NotSupported(f"'{self._plan.model.id}' was loaded to {self._plan.task}; it does not do {operation}.")
        try:
            asked_for = json.loads(body)
            if not isinstance(asked_for, dict):
                raise InvalidRequest("the body must be a JSON object")
            if operation in self._operations:
                return Whole(200, dumps(self._operations[operation](asked_for)))
            return await self._generate(operation, asked_for)
        except Failed as failure:
            return Whole(failure.status, dumps(failure.body))
        except InvalidRequest as failure:
            return Whole(400, dumps(error(400, failure.message)))
        except (ValueError, TypeError, RecursionError) as failure:
            return Whole(400, dumps(error(400, f"the body cannot be read: {failure}")))

    async def _generate(self, operation: Operation, body: dict[str, Any]) -> Whole | Answering:
        how = asked.sampling(body)
        questions, given = self._asked(operation, body)
        tokens = [pieces(prompt) for prompt in given]
        longest = max(len(prompt) for prompt in tokens)
        self._must_fit(longest, f"request ({longest} tokens) exceeds the available context size ({self._plan.context} tokens), try increasing it")
        room = self._plan.context - longest
        limit = room if how.limit is None else min(room, how.limit)
        compositions = [self._compose(question, how, limit, chat=operation == "chat") for question in questions for _ in range(how.n)]
        if len(compositions) > len(self._slots):
            raise InvalidRequest(f"{len(compositions)} answers at once need as many slots; this model was loaded with {len(self._slots)}", param="n")
        clock = Clock(asyncio.get_running_loop().time())
        slots = await self._slots.take(len(compositions), how.slot, tokens[0])
        if not self.alive:
            self._slots.give(slots)
            raise WorkerGone(self._ended.result())
        kept = self._slots.cached(slots[0], tokens[0])
        shapes: dict[Operation, type[Format]] = {"chat": Chat, "completion": Completion, "infill": Infill}
        answer = shapes[operation](
            model=self._plan.model.id,
            compositions=compositions,
            prompt=given[0],
            prompt_tokens=sum(len(prompt) for prompt in tokens),
            cached=kept if how.cached else 0,
            clock=clock,
            slot=slots[0],
            include_usage=how.usage,
            verbose=how.verbose,
            logprobs=how.logprobs,
        )
        reply = Answering(answer, Pace(self._rate), streaming=how.stream, release=lambda: self._release(reply, slots), die=self._end)
        self._running.add(reply)
        try:
            await reply.begin()
        except BaseException:
            await reply.close()
            raise
        return reply

    def _asked(self, operation: Operation, body: dict[str, Any]) -> tuple[list[Question], list[str]]:
        """What is asked, and the prompts that it makes."""
        if operation == "chat":
            return [asked.question(body)], [asked.chat_prompt(body)]
        if operation == "completion":
            given = asked.prompts(body)
            return [Question([Turn("user", prompt)], tool_choice="none") for prompt in given], given
        before, after = body.get("input_prefix"), body.get("input_suffix")
        if not isinstance(before, str) or not isinstance(after, str):
            raise InvalidRequest('"input_prefix" and "input_suffix" are required', param="input_prefix")
        prompt = body.get("prompt") or ""
        if not isinstance(prompt, str):
            raise InvalidRequest('"prompt" must be a string', param="prompt")
        line = (prompt or (before.splitlines() or [""])[-1]).lstrip(" \t#/-*")
        extra = body.get("input_extra") or []
        if not isinstance(extra, list) or not all(isinstance(chunk, dict) and isinstance(chunk.get("text"), str) for chunk in extra):
            raise InvalidRequest('"input_extra" must be an array of {"filename": string, "text": string}', param="input_extra")
        context = "".join(chunk["text"] for chunk in extra)
        return [Question([Turn("user", line)], tool_choice="none")], [f"{context}<|fim_prefix|>{before}{prompt}<|fim_suffix|>{after}<|fim_middle|>"]

    def _compose(self, question: Question, how: asked.Sampling, limit: int, *, chat: bool) -> Composition:
        steps: list[Step] = forced(question, self._manner(question))
        if not how.thinking or not chat:
            steps = [step for step in steps if not isinstance(step, Think)]
        if not chat:
            steps = [Say(f"{step.name} {step.arguments}") if isinstance(step, CallTool) else step for step in steps]
        return compose(steps, stop=how.stop, limit=limit)

    def _must_fit(self, tokens: int, message: str) -> None:
        """As in llama-server, a prompt must leave room for at least one token."""
        if tokens >= self._plan.context:
            more = {"type": "exceed_context_size_error", "n_prompt_tokens": tokens, "n_ctx": self._plan.context}
            raise Failed(400, error(400, message, **more))

    def _release(self, reply: Answering, slots: Sequence[int]) -> None:
        if reply in self._running:
            self._running.remove(reply)
            self._slots.give(slots)

    def _end(self, reason: str) -> None:
        if not self._ended.done():
            self._ended.set_result(reason)
        for reply in list(self._running):
            reply.worker_gone(reason)

    def _embeddings(self, body: dict[str, Any]) -> dict[str, Any]:
        if "input" not in body:
            raise InvalidRequest('"input" must be provided', param="input")
        inputs = asked.texts(body["input"], "input")
        shape = body.get("encoding_format", "float")
        if shape not in {"float", "base64"}:
            raise InvalidRequest("The format to return the embeddings in. Can be either float or base64", param="encoding_format")
        dimensions = asked.integer(body, "dimensions", DIMENSIONS)
        if not 1 <= dimensions <= DIMENSIONS:
            raise InvalidRequest(f"'dimensions' must be between 1 and {DIMENSIONS}", param="dimensions")
        data = []
        for index, text in enumerate(inputs):
            self._must_fit_whole(text)
            vector: Any = embed(text, dimensions)
            if shape == "base64":
                vector = b64encode(struct.pack(f"<{dimensions}f", *vector)).decode()
            data.append({"embedding": vector, "index": index, "object": "embedding"})
        return {"model": self._plan.model.id, "object": "list", "usage": self._read(inputs), "data": data}

    def _rerank(self, body: dict[str, Any]) -> dict[str, Any]:
        query, documents = body.get("query"), body.get("documents")
        if not isinstance(query, str):
            raise InvalidRequest('"query" must be a string', param="query")
        if not isinstance(documents, list) or not documents or not all(isinstance(item, str) for item in documents):
            raise InvalidRequest('"documents" must be a non-empty string array', param="documents")
        for document in documents:
            self._must_fit_whole(f"{query}{document}")
        scored: list[dict[str, Any]] = [{"index": index, "relevance_score": relevance(query, document)} for index, document in enumerate(documents)]
        scored.sort(key=lambda item: -item["relevance_score"])
        if body.get("return_documents") is True:
            for item in scored:
                item["document"] = {"text": documents[item["index"]]}
        top = asked.integer(body, "top_n", len(documents))
        if top < 1:
            raise InvalidRequest("'top_n' must be at least 1", param="top_n")
        return {"model": self._plan.model.id, "object": "list", "usage": self._read([query + text for text in documents]), "results": scored[:top]}

    def _must_fit_whole(self, text: str) -> None:
        if not text:
            raise InvalidRequest("Input content cannot be empty", param="input")
        tokens = len(pieces(text))
        if tokens > self._plan.context:
            self._must_fit(tokens, f"input ({tokens} tokens) is larger than the max context size ({self._plan.context} tokens). skipping")

    @staticmethod
    def _read(inputs: Sequence[str]) -> dict[str, int]:
        tokens = sum(len(pieces(text)) for text in inputs)
        return {"prompt_tokens": tokens, "total_tokens": tokens}

    def _count_chat(self, body: dict[str, Any]) -> dict[str, Any]:
        return {"input_tokens": len(pieces(asked.chat_prompt(body))), "object": "response.input_tokens"}

    def _tokenize(self, body: dict[str, Any]) -> dict[str, Any]:
        content = body.get("content", "")
        if not isinstance(content, str):
            raise InvalidRequest("'content' must be a string", param="content")
        found = pieces(clean(content))
        if body.get("with_pieces") is True:
            return {"tokens": [{"id": token_id(piece), "piece": piece} for piece in found]}
        return {"tokens": [token_id(piece) for piece in found]}

    def _detokenize(self, body: dict[str, Any]) -> dict[str, Any]:
        tokens = body.get("tokens", [])
        if not isinstance(tokens, list) or not all(isinstance(token, int) and not isinstance(token, bool) for token in tokens):
            raise InvalidRequest("'tokens' must be a list of integers", param="tokens")
        return {"content": detokenize(tokens)}

    def _apply_template(self, body: dict[str, Any]) -> dict[str, Any]:
        return {"prompt": asked.chat_prompt(body)}
