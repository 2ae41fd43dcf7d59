"""The chat in the terminal: reading what is typed, answering, and what Ctrl-C and Ctrl-D do. Commands that begin with / are `commands`'s."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hausgeist.cli.answering import Link, Stopped, answer
from hausgeist.cli.commands import COMMANDS, Leave, obey
from hausgeist.cli.console import fail, hint, note, paint
from hausgeist.cli.conversation import Conversation, Outcome, find_images, read_image
from hausgeist.cli.display import QuietKeyboard, display, footer
from hausgeist.errors import ContextExceeded, HausgeistError

if TYPE_CHECKING:
    from prompt_toolkit import PromptSession

__all__ = ["Chat", "welcome"]

_QUOTES = '"""'


class Chat:
    """One chat, from its first prompt to /bye."""

    def __init__(
        self,
        link: Link,
        conversation: Conversation,
        home: Path,
        *,
        history: bool,
        markdown: bool,
        verbose: bool,
        images: Sequence[str] = (),
    ) -> None:
        self.link = link
        self.conversation = conversation
        self.verbose = verbose
        self.markdown = markdown
        self.last = Outcome()
        self._images = list(images)
        self._session = _session(home / "chat_history" if history else None, self._models)
        self._model_names: list[str] | None = None

    def run(self) -> None:
        """Until the user leaves."""
        with QuietKeyboard():  # the prompt has its own ways; this is for the time between prompts
            placeholder = _placeholder()
            while (text := self._read(placeholder)) is not None:
                placeholder = ""
                try:
                    self._do(text)
                except Leave:
                    return
                except KeyboardInterrupt:  # in a command, or twice in an answer
                    self.link.drop()
                    hint("\nstopped")
                except HausgeistError as error:
                    fail(error.message)
                    print()

    def _read(self, placeholder: Any) -> str | None:
        """What is typed next; `None` at the end."""
        while True:
            try:
                text = self._session.prompt(_prompt(), placeholder=placeholder, prompt_continuation=_continuation)
            except KeyboardInterrupt:
                if not self._session.default_buffer.text:
                    hint("Ctrl-D or /bye leaves")
            except EOFError:
                return None
            else:
                return str(text)

    def _do(self, text: str) -> None:
        if text.startswith("/") and not _is_path(text):
            obey(self, text)
            print()
        elif text := _unquoted(text):
            self.ask(text)

    def attach(self, path: Path) -> None:
        """Send this image with the next question."""
        self._images.append(read_image(path))
        note(f"attached {path.name}; it goes with your next message")

    def ask(self, text: str) -> None:
        """One question and its answer."""
        images = self._images + [read_image(path) for path in find_images(text)]
        self._images = []
        if images:
            hint(f"with {len(images)} image{'s' if len(images) > 1 else ''}")
        self.conversation.ask(text, images)
        self.answer()

    def answer(self) -> None:
        """Answer the last question of the conversation."""
        outcome = Outcome()
        waiting_for = "reading" if self.last.final else f"loading {self.conversation.model}"
        print()
        try:
            answer(self.link, self.conversation, outcome, display(waiting_for, markdown=self.markdown))
        except Stopped:
            self._finish(outcome, "stopped")
        except HausgeistError as error:
            self._finish(outcome, "")
            fail(error.message)
            if isinstance(error, ContextExceeded) or "context" in error.message:
                hint("/clear starts anew, /set context N makes room")
            print()
        except BaseException:
            self.conversation.keep(outcome)
            raise
        else:
            self._finish(outcome, footer(outcome, verbose=self.verbose))

    def _finish(self, outcome: Outcome, words: str) -> None:
        self.conversation.keep(outcome)
        self.last = outcome
        if words:
            print("\n" + paint(words, "quiet") + "\n")

    def models(self) -> list[str]:
        """Names of the models that can be talked to. Raises when the server cannot be asked."""
        names = [str(model["name"]) for model in self.link.client().ask("GET", "/api/tags").get("models", [])]
        self._model_names = names
        return names

    def _models(self) -> list[str]:
        """The same for completion, which never waits twice and never fails."""
        if self._model_names is None:
            try:
                self.models()
            except HausgeistError:
                self._model_names = []
        return self._model_names or []


def _session(history: Path | None, models: Any) -> PromptSession[str]:
    from prompt_toolkit import PromptSession
    from prompt_toolkit.completion import Completer, Completion
    from prompt_toolkit.history import FileHistory, History, InMemoryHistory

    class SlashCommands(Completer):
        def get_completions(self, document: Any, complete_event: Any) -> Any:
            text = document.text_before_cursor
            if "\n" in text or not text.startswith("/"):
                return
            name, space, rest = text.partition(" ")
            if not space:
                for command in COMMANDS.values():
                    if command.name.startswith(name):
                        yield Completion(command.name, start_position=-len(name), display_meta=command.meaning)
            elif (known := COMMANDS.get(name)) is not None:
                choices = models() if name == "/model" else known.choices
                for choice in choices:
                    if choice.startswith(rest):
                        yield Completion(choice, start_position=-len(rest))

    kept: History = InMemoryHistory()
    if history is not None:
        try:
            os.close(os.open(history, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600))
            history.chmod(0o600)
            kept = FileHistory(str(history))
        except OSError:
            hint(f"{history} cannot be written, so this chat's history is not kept")
    return PromptSession(
        history=kept,
        multiline=True,
        key_bindings=_keys(),
        completer=SlashCommands(),
        complete_while_typing=True,
        enable_history_search=False,
        mouse_support=False,
        reserve_space_for_menu=6,
    )


def _keys() -> Any:
    """Enter sends, except inside triple quotes; Alt-Enter (or Esc, Enter) makes a new line. Pasted text keeps its lines."""
    from prompt_toolkit.filters import has_focus
    from prompt_toolkit.key_binding import KeyBindings

    keys = KeyBindings()

    @keys.add("enter", filter=has_focus("DEFAULT_BUFFER"))
    @keys.add("c-j", filter=has_focus("DEFAULT_BUFFER"))  # Enter, when it was pressed during the answer before
    def _(event: Any) -> None:
        buffer = event.current_buffer
        text = buffer.text.strip()
        if text.startswith(_QUOTES) and (len(text) < 6 or not text.endswith(_QUOTES)):
            buffer.insert_text("\n")
        elif buffer.complete_state and buffer.complete_state.current_completion is not None:
            buffer.apply_completion(buffer.complete_state.current_completion)
        else:
            buffer.validate_and_handle()

    @keys.add("escape", "enter")
    def _(event: Any) -> None:
        event.current_buffer.insert_text("\n")

    return keys


def _prompt() -> Any:
    from prompt_toolkit.formatted_text import ANSI

    return ANSI(paint("> ", "accent"))


def _placeholder() -> Any:
    from prompt_toolkit.formatted_text import ANSI

    return ANSI(paint('ask anything, """ for several lines, /help for more', "quiet"))


def _continuation(width: int, line_number: int, wrapped: bool | int) -> str:
    return " " * width


def _unquoted(text: str) -> str:
    text = text.strip()
    if text.startswith(_QUOTES):
        text = text.removeprefix(_QUOTES).removesuffix(_QUOTES).strip("\n")
    return text


def _is_path(text: str) -> bool:
    """A dropped file begins with a slash, too."""
    return re.match(r"/[a-z]+(\s|$)", text) is None and "/" in text[1:] and sys.platform != "win32"


def welcome(model: str, details: str, notice: str) -> None:
    """What stands above the first prompt."""
    print(paint(model, "strong") + (paint(f"  {details}", "quiet") if details else ""))
    if notice:
        print(paint(notice, "careful"))
    print(paint("Ctrl-C stops an answer, Ctrl-D leaves", "quiet"))
    print()
