"""The chat page in a browser: how soon a long chat is there, and whether it stays smooth while a long answer streams into it.

Needs Debian's Chromium. The answer is made by a fake model at a steady pace, so that only the page is measured.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
from pathlib import Path
from typing import Any, Final

import httpx

from benchmarks.report import Figure, median, quantile
from tests.acceptance.support import ServerProcess

__all__ = ["measure", "prose", "stream"]

MESSAGES: Final = 2_000
TOKENS: Final = int(os.environ.get("HAUSGEIST_BENCH_TOKENS", "20000"))
RATE: Final = 100
_DICE = random.Random(8)
_WORDS: Final = "the house was old and people in it were kind to each other when winter came and snow lay light on hills behind every window".split()  # noqa: SIM905

_WATCH: Final = """() => {
    const seen = window.seen = {frames: [], shift: 0, tasks: []};
    let last = performance.now();
    const step = now => { seen.frames.push(now - last); last = now; requestAnimationFrame(step); };
    requestAnimationFrame(step);
    const watch = (type, each) => new PerformanceObserver(list => list.getEntries().forEach(each)).observe({type});
    watch("layout-shift", one => { if (!one.hadRecentInput) seen.shift += one.value; });
    watch("longtask", one => seen.tasks.push(one.duration));
}"""
_DRAWN: Final = "() => document.querySelector('.turn.answer.last .doings button') !== null"
_IDLE: Final = "() => document.querySelector('#chat').dataset.busy !== 'true'"


def prose(tokens: int) -> str:
    """Markdown of about so many tokens of the fake model, with all that slows a page down: lists, tables, code, formulas."""
    parts: list[str] = []
    while sum(part.count(" ") + 2 for part in parts) < tokens:
        parts.append(_block(len(parts)))
    return "\n\n".join(parts)


def _block(number: int) -> str:
    match number % 6:
        case 0:
            return f"## Part {number}\n\n{_sentence(60)}"
        case 1:
            return "\n".join(f"- **{_DICE.choice(_WORDS)}** {_sentence(12)}" for _ in range(6))
        case 2:
            return "```python\n" + "\n".join(f"def double_{line}(x):\n    return x + {line}  # {_sentence(4)}" for line in range(8)) + "\n```"
        case 3:
            return "| a | b | c |\n|---|---|--:|\n" + "\n".join(f"| {_DICE.choice(_WORDS)} | {_sentence(3)} | {line} |" for line in range(6))
        case 4:
            return f"The sum is $\\sum_{{k=1}}^n k = \\frac{{n(n+1)}}{{2}}$, and {_sentence(50)}"
        case _:
            return _sentence(120)


def _sentence(words: int) -> str:
    return " ".join(_DICE.choice(_WORDS) for _ in range(words)).capitalize() + "."


async def measure() -> list[Figure]:
    # Playwright's plain functions may not run where a loop does.
    return await asyncio.to_thread(_measured)


def _measured() -> list[Figure]:
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        with _server(TOKENS) as server:
            figures = _long(browser, server)
        browser.close()
    return figures


def _server(tokens: int) -> ServerProcess:
    import tempfile

    home = Path(tempfile.mkdtemp()) / "home"
    (home / "fake").mkdir(parents=True)
    (home / "fake" / "long.jsonl").write_text(json.dumps(prose(tokens)))
    return ServerProcess(home, environment={"HAUSGEIST_FAKE": "1", "HAUSGEIST_GUIDE": "1", "HAUSGEIST_CONTEXT": "131072"}).start()


def _context(browser: Any, server: ServerProcess) -> Any:
    context = browser.new_context(base_url=server.url, viewport={"width": 1280, "height": 800})
    context.add_cookies([{"name": "hausgeist_welcomed", "value": "1", "url": server.url}])
    context.set_default_timeout(600_000)
    return context


def _long(browser: Any, server: ServerProcess) -> list[Figure]:
    with server.client() as client:
        chat = long_chat(client, MESSAGES)
    page = _context(browser, server).new_page()
    page.goto("/")
    opened = []
    for _ in range(3):
        page.goto(f"/chat/{chat}")
        page.wait_for_function(_DRAWN)
        opened.append(float(page.evaluate("() => performance.now()")))
    seen = stream(page)
    page.context.close()
    frames, there = seen["frames"], median(opened) / 1000
    within = sum(frame <= 50.5 for frame in frames) / len(frames)
    return [
        Figure(f"a chat of {MESSAGES:,} messages is there", f"{there:.2f} s", "< 1 s", there < 1),
        Figure(f"frames within 50 ms, {TOKENS:,} tokens at {RATE}/s", f"{within:.1%}", ">= 95 %", within >= 0.95),
        Figure("frame, median / 99 %", f"{median(frames):.0f} / {quantile(frames, 0.99):.0f} ms"),
        Figure("layout shift while it streams", f"{seen['shift']:.4f}", "0", seen["shift"] < 0.001),
    ]


def long_chat(client: httpx.Client, messages: int) -> str:
    """A chat of so many messages; its id."""
    told = [{"role": ("user", "assistant")[place % 2], "content": _message(place)} for place in range(messages)]
    settings = {"truncation": "auto", "max_output_tokens": TOKENS}
    made = client.post("/house/v1/chats", json={"title": "Long", "model": f"fake:long.jsonl@{RATE}", "settings": settings, "messages": told[:1000]})
    chat = str(made.raise_for_status().json()["id"])
    for start in range(1000, messages, 1000):
        client.post(f"/house/v1/chats/{chat}/messages", json={"messages": told[start : start + 1000]}).raise_for_status()
    return chat


def _message(place: int) -> str:
    if place % 2 == 0:
        return _sentence(8)
    return _block(place) if place % 20 == 1 else _sentence(40)


def stream(page: Any) -> dict[str, Any]:
    """Ask in the open chat. The lengths of frames and long tasks in milliseconds, and the layout shift, from the answer's first word to its end."""
    page.wait_for_function("() => [...document.querySelectorAll('.turn')].every(one => one.turn.filled)")
    page.get_by_role("textbox", name="Message").fill("Tell me all of it")
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.querySelector('.turn.going .prose')?.textContent")
    page.wait_for_timeout(600)
    page.evaluate(_WATCH)
    page.wait_for_function(_IDLE, polling=1000)
    page.wait_for_timeout(300)
    return dict(page.evaluate("() => seen"))
