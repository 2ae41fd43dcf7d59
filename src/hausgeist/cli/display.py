"""An answer on the screen while it arrives: plain text into pipes, Markdown on a terminal, reasoning dim and folded.

`Display` is what a conversation needs of it; which one is used is decided once, from where the output goes.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from typing import Any, Literal, Protocol

from hausgeist.cli.console import is_terminal, out, paint
from hausgeist.cli.conversation import Outcome
from hausgeist.cli.markdown import MarkdownStream
from hausgeist.cli.region import Line, Region
from hausgeist.cli.terminal import neutralise

__all__ = ["Display", "QuietKeyboard", "Silent", "display", "footer"]

_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_TICK = 0.1
_PATIENCE = 0.25
"""Seconds before the spinner appears: quick answers need none."""
_REASONING_LINES = 4


class Display(Protocol):
    """A context manager around one answer."""

    def __enter__(self) -> Display: ...

    def __exit__(self, *exc: object) -> None: ...

    def add(self, thinking: str, content: str) -> None: ...


def display(waiting_for: str, *, markdown: bool) -> Display:
    """The display for stdout; `waiting_for` is said until the first word comes."""
    if is_terminal(sys.stdout):
        return _Screen(waiting_for, markdown=markdown)
    return _Plain()


class Silent:
    """Nothing: the answer is printed as a whole at the end."""

    def __enter__(self) -> Display:
        return self

    def __exit__(self, *exc: object) -> None:
        pass

    def add(self, thinking: str, content: str) -> None:
        pass


class _Plain:
    """Words as they come, nothing else."""

    def __init__(self) -> None:
        self._ends_with_newline = True

    def __enter__(self) -> Display:
        return self

    def __exit__(self, *exc: object) -> None:
        if not self._ends_with_newline:
            sys.stdout.write("\n")
        sys.stdout.flush()

    def add(self, thinking: str, content: str) -> None:
        if content:
            self._ends_with_newline = content.endswith("\n")
            sys.stdout.write(neutralise(content))
            sys.stdout.flush()


class _Screen:
    """For people: a spinner until something comes, reasoning in a few dim lines that fold up, then the answer.

    The thread that reads is blocked most of the time, so another one turns the spinner and draws what the last frame left out.
    """

    def __init__(self, waiting_for: str, *, markdown: bool) -> None:
        self._region = Region(sys.stdout)
        self._markdown = MarkdownStream(self._region, out()) if markdown else None
        self._plain = _Plain()
        self._quiet = QuietKeyboard()
        self._waiting_for = neutralise(waiting_for)
        self._began = 0.0
        self._state: Literal["waiting", "reasoning", "answering"] = "waiting"
        self._reasoning = ""
        self._reasoning_since = 0.0
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._ticker = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self) -> Display:
        self._quiet.__enter__()
        self._region.__enter__()
        self._began = time.monotonic()
        self._ticker.start()
        return self

    def __exit__(self, *exc: object) -> None:
        try:
            self._ended.set()
            self._ticker.join()
            self._fold()
            self._region.show([])
            if self._markdown is not None:
                self._markdown.finish()
            self._region.__exit__(*exc)
            self._plain.__exit__(*exc)
        finally:
            self._quiet.__exit__(*exc)

    def add(self, thinking: str, content: str) -> None:
        with self._lock:
            if thinking:
                if self._state != "reasoning":
                    self._state, self._reasoning_since = "reasoning", time.monotonic()
                self._reasoning = (self._reasoning + neutralise(thinking))[-2000:]
            if content:
                if self._state == "waiting":
                    self._region.show([])
                self._fold(before_answer=True)
                self._state = "answering"
                if self._markdown is not None:
                    self._markdown.add(content)
                else:
                    self._plain.add("", content)

    def _tick(self) -> None:
        frame = 0
        while not self._ended.wait(_TICK):
            with self._lock:
                match self._state:
                    case "waiting":
                        self._wait(frame)
                    case "reasoning":
                        self._reason()
                    case "answering":
                        if self._markdown is not None:
                            self._markdown.refresh()
            frame += 1

    def _wait(self, frame: int) -> None:
        seconds = time.monotonic() - self._began
        if seconds >= _PATIENCE:
            since = f" {seconds:.0f} s" if seconds >= 2 else ""
            self._region.show([_dim(f"{_SPINNER[frame % len(_SPINNER)]} {self._waiting_for}{since}")])

    def _reason(self) -> None:
        width = min(self._region.columns - 1, 100) - 2
        lines = [line[i : i + width] for line in self._reasoning.splitlines() for i in range(0, len(line), width)]
        self._region.show([_dim("thinking"), *(_dim("  " + line) for line in lines[-_REASONING_LINES:])])

    def _fold(self, *, before_answer: bool = False) -> None:
        """The reasoning is over: one line says how long it took."""
        if self._state == "reasoning":
            seconds = time.monotonic() - self._reasoning_since
            self._region.commit([_dim(f"thought for {seconds:.1f} s"), *([("", 0)] if before_answer else [])])
            self._state = "answering"


class QuietKeyboard:
    """Keys pressed during an answer are kept for the next prompt, but not shown in the middle of it. A context manager."""

    def __init__(self) -> None:
        self._before: list[Any] | None = None

    def __enter__(self) -> None:
        if sys.platform == "win32":
            return
        import termios

        with contextlib.suppress(OSError, ValueError, termios.error):  # not a terminal
            descriptor = sys.stdin.fileno()
            before = termios.tcgetattr(descriptor)
            quiet = list(before)
            # Ctrl-C stays a signal; Enter and Ctrl-D are left for the prompt to understand.
            quiet[0] &= ~termios.ICRNL
            quiet[3] &= ~(termios.ECHO | termios.ICANON)
            termios.tcsetattr(descriptor, termios.TCSANOW, quiet)
            self._before = before

    def __exit__(self, *exc: object) -> None:
        if sys.platform == "win32" or self._before is None:
            return
        import termios

        with contextlib.suppress(OSError, ValueError, termios.error):  # the terminal is gone
            termios.tcsetattr(sys.stdin.fileno(), termios.TCSANOW, self._before)


def _dim(text: str) -> Line:
    from rich.cells import cell_len

    return paint(text, "quiet"), cell_len(text)


def footer(outcome: Outcome, *, verbose: bool) -> str:
    """What the answer took, in a line, or in a few."""
    final = outcome.final
    parts = [f"{outcome.tokens} token{'s' if outcome.tokens != 1 else ''}", f"{outcome.rate('eval'):.1f} tokens/s", f"{outcome.seconds:.1f} s"]
    if final.get("done_reason") == "length":
        parts.append("stopped at the token limit")
    if not verbose:
        return " · ".join(parts)
    prompt = f"{final.get('prompt_eval_count', 0)} tokens, {outcome.rate('prompt_eval'):.1f} tokens/s"
    load = f"{float(final.get('load_duration', 0)) / 1e9:.2f} s"
    return f"answer {' · '.join(parts)}\nprompt {prompt}\nload   {load}"
