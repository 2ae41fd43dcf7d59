from __future__ import annotations

import asyncio
import hashlib
import re
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from hausgeist.errors import StoreError
from hausgeist.knowledge.embed import Embedder
from hausgeist.knowledge.embed.installed import MODEL, Installed

TEXTS = [
    "The lease ends on 31 December 2026 and may be renewed by a year.",
    "Photosynthesis turns light into chemical energy.",
    "The tenant pays the rent on the first day of each month.",
    "A goalkeeper may touch the ball with the hands.",
]

REFERENCE = {
    "The lease ends on 31 December 2026 and may be renewed by a year.": [
        -0.0142, -0.0645, 0.0741, -0.0187, -0.0646, 0.0308, -0.1279, -0.0450, 0.0241, 0.0345, 0.0378, 0.1413, -0.0227, 0.0124, 0.0346, 0.0825,
        -0.0625, -0.0184, 0.0655, -0.0518, 0.0831, 0.0415, -0.0071, -0.0287, -0.0320, 0.0717, -0.0147, -0.0097, -0.0068, 0.0854, 0.0495, -0.0021,
    ],
    "How do plants use the sun?": [
        -0.0054, 0.0996, -0.0242, 0.0831, 0.0100, -0.0072, 0.0852, -0.0593, 0.0749, 0.0536, 0.1012, -0.0423, -0.0886, -0.0372, 0.0429, 0.0346,
        -0.0400, 0.0712, -0.0044, -0.0229, -0.0010, -0.0200, -0.0303, 0.0019, 0.0329, -0.0274, -0.1717, 0.0383, 0.0101, -0.0445, 0.0206, 0.0840,
    ],
}  # fmt: skip


def test_the_file_is_the_one_that_its_notice_names() -> None:
    said = re.findall(r"[0-9a-f]{64}", MODEL.with_name("NOTICE").read_text("utf-8"))
    assert said == [hashlib.sha256(MODEL.read_bytes()).hexdigest()]


async def test_a_damaged_file_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    damaged = tmp_path / "model.onnx"
    damaged.write_bytes(MODEL.read_bytes()[:1_000_000])
    monkeypatch.setattr("hausgeist.knowledge.embed.installed.MODEL", damaged)
    embedder = Installed()
    with pytest.raises(StoreError, match="Install Hausgeist anew"):
        await embedder.query("hello")
    await embedder.close()


async def test_a_question_is_nearest_to_what_answers_it() -> None:
    embedder: Embedder = Installed()
    passages = await embedder.passages(TEXTS)
    assert passages.shape == (4, embedder.dimension)
    assert np.allclose(np.linalg.norm(passages, axis=1), 1, atol=1e-5)
    for question, answer in [("When does the rental contract run out?", 0), ("How do plants use the sun?", 1), ("When is the rent due?", 2)]:
        assert int(np.argmax(passages @ await embedder.query(question))) == answer
    await Installed.close(embedder)  # type: ignore[arg-type]


async def test_vectors_are_those_of_the_float_model() -> None:
    """Computed once by sentence-transformers 6.2 in f32: the first numbers of each vector."""
    embedder = Installed()
    whole = await embedder.passages(TEXTS)
    for text, reference in REFERENCE.items():
        ours = (await embedder.query(text))[: len(reference)]
        expected = np.array(reference)
        assert float(ours @ expected / np.linalg.norm(ours) / np.linalg.norm(expected)) > 0.97
    assert np.allclose(whole[0], (await embedder.passages(TEXTS[:1]))[0], atol=0.02), "a text's company changes no more than rounding does"
    await embedder.close()


async def test_a_long_text_is_read_to_its_end() -> None:
    embedder = Installed()
    filler = "The committee met in the town hall and talked about the budget of the coming year. " * 60
    plain, with_end = await embedder.passages([filler, filler + "Penguins breed on the ice of Antarctica. " * 20])
    query = await embedder.query("Where do penguins breed?")
    assert float(query @ with_end) > float(query @ plain) + 0.1
    await embedder.close()


async def test_any_text_has_a_vector() -> None:
    embedder = Installed()
    vectors = await embedder.passages(["", " ", "\x00\ufffe", "東京 🦊 नमस्ते", "x" * 5000, "a"])
    assert np.isfinite(vectors).all()
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-4)
    assert (await embedder.passages([])).shape == (0, 384)
    await embedder.close()


async def test_many_texts_keep_their_places() -> None:
    embedder = Installed(threads=2)
    texts = [f"{TEXTS[number % 4]} Number {number}. {'More of it. ' * (number % 7)}" for number in range(150)]
    together, back = await asyncio.gather(embedder.passages(texts), embedder.passages(texts[::-1], background=True))
    assert float((together * back[::-1]).sum(axis=1).min()) > 0.99
    alone = await embedder.passages([texts[77]])
    assert float(alone[0] @ together[77]) > 0.99
    await embedder.close()


async def test_what_rests_is_given_back_and_comes_again() -> None:
    others = set(threading.enumerate())  # of servers that other tests keep in this process
    embedder = Installed(idle=0.05)
    first = await embedder.query("hello")
    async with asyncio.timeout(60):
        while embedder._reader is not None or any(one.name.startswith("embed-") for one in set(threading.enumerate()) - others):
            await asyncio.sleep(0.02)
    assert np.array_equal(first, await embedder.query("hello"))
    await embedder.close()


async def test_cancelled_work_ends_soon() -> None:
    embedder = Installed(threads=1)
    await embedder.query("warm")
    work = asyncio.create_task(embedder.passages([text * 10 for text in TEXTS] * 500, background=True))
    await asyncio.sleep(0.1)
    work.cancel()
    began = time.process_time()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert (await embedder.query("next")).shape == (384,)
    assert time.process_time() - began < 5, "seconds of a processor; all of it takes many times as long"
    await embedder.close()
