"""The chat as a person has it: on a terminal (a pty), typing, interrupting, leaving."""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

if sys.platform == "win32":
    pytest.skip("there is no pty on Windows", allow_module_level=True)

import fcntl
import pty
import termios

_ESCAPES = re.compile(r"\x1b\][^\x07]*\x07|\x1b\[[?0-9;]*[ -/]*[@-~]|\x1b[=>78]")
PATIENCE = 30.0
CTRL_C, CTRL_D, ENTER = "\x03", "\x04", "\r"


class Terminal:
    """A program on a pty of 100 x 40."""

    def __init__(self, *arguments: str, env: dict[str, str]) -> None:
        self.pid, self._descriptor = pty.fork()
        if self.pid == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
            os.execve(sys.executable, [sys.executable, "-m", "hausgeist", *arguments], env)
        self.raw = ""
        self.seen = 0
        self.status: int | None = None

    @property
    def text(self) -> str:
        return _ESCAPES.sub("", self.raw).replace("\r", "")

    def type(self, text: str) -> None:
        os.write(self._descriptor, text.encode())

    def expect(self, pattern: str, *, within: float = PATIENCE) -> None:
        """Wait until the pattern appears after what was expected before."""
        deadline = time.monotonic() + within
        while True:
            text = self.text
            if found := re.compile(pattern).search(text, self.seen):
                self.seen = found.end()
                return
            if time.monotonic() > deadline or not self._read(0.1):
                raise AssertionError(f"{pattern!r} did not appear after:\n{text[max(0, self.seen - 200) :]}\n(raw: {self.raw[-300:]!r})")

    def wait(self, *, within: float = PATIENCE) -> int:
        """The exit code."""
        deadline = time.monotonic() + within
        while self.status is None and time.monotonic() < deadline:
            self._read(0.05)
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
        assert self.status is not None, f"still running: {self.text[-300:]}"
        return self.status

    def close(self) -> None:
        if self.status is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self._descriptor)

    def _read(self, seconds: float) -> bool:
        """False at the end."""
        ready, _, _ = select.select([self._descriptor], [], [], seconds)
        if not ready:
            return True
        try:
            data = os.read(self._descriptor, 65536)
        except OSError:
            return False
        self.raw += data.decode(errors="replace")
        return bool(data)


def environment(home: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HAUSGEIST_") and name not in {"NO_COLOR", "FORCE_COLOR"}}
    return {
        **kept,
        "HAUSGEIST_HOME": str(home),
        "HAUSGEIST_FAKE": "1",
        "HAUSGEIST_GUIDE": "0",
        "HAUSGEIST_PORT": "0",
        "HAUSGEIST_REGISTRY": "http://127.0.0.1:9",
        "TERM": "xterm-256color",
        "PROMPT_TOOLKIT_NO_CPR": "1",
    }


class Served:
    """A server in a process of its own, and its log."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.log = home.parent / "server.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen([sys.executable, "-m", "hausgeist", "serve"], env=environment(home), stdout=log, stderr=log)
        deadline = time.monotonic() + PATIENCE
        while "is ready" not in self.log.read_text():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def requests(self) -> int:
        """How many chats have ended."""
        return self.log.read_text().count("POST /api/chat")

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(30)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    server = Served(tmp_path_factory.mktemp("chat") / "home")
    yield server
    server.close()


@pytest.fixture
def chat(served: Served) -> Iterator[Terminal]:
    terminal = Terminal("run", "fake:obeys", env=environment(served.home))
    try:
        terminal.expect("Ctrl-D leaves")
        terminal.expect("> ")
        yield terminal
    finally:
        terminal.close()


def test_a_conversation(chat: Terminal) -> None:
    chat.type("say **hello** there" + ENTER)
    chat.expect(r"\nhello there\n")
    assert "\x1b[1mhello" in chat.raw
    chat.expect(r"tokens · .* tokens/s · .* s\n")
    chat.type("/bye" + ENTER)
    assert chat.wait() == 0


def test_ctrl_c_stops_the_answer_and_not_the_program(chat: Terminal, served: Served) -> None:
    before = served.requests()
    chat.type('"""' + ENTER + "say beginning" + ENTER + 'stall"""' + ENTER)
    chat.expect(r"\nbeginning\n")
    assert served.requests() == before
    chat.type(CTRL_C)
    chat.expect("stopped")
    deadline = time.monotonic() + 5
    while served.requests() == before:  # the line is logged when the request has ended
        assert time.monotonic() < deadline, "the server goes on answering"
        time.sleep(0.02)
    chat.type("say alive" + ENTER)
    chat.expect(r"\nalive\n")
    chat.type("/show history" + ENTER)
    chat.expect(r"assistant\n+beginning\n")
    chat.type(CTRL_D)
    assert chat.wait() == 0


def test_ctrl_c_while_the_model_has_said_nothing_yet(chat: Terminal) -> None:
    chat.type("stall" + ENTER)
    chat.expect("(loading|reading)")
    chat.type(CTRL_C)
    chat.expect("stopped")
    chat.type("say alive" + ENTER)
    chat.expect(r"\nalive\n")


def test_ctrl_c_at_the_prompt(chat: Terminal) -> None:
    chat.type("half a question")
    chat.expect("half a question")
    chat.type(CTRL_C)
    chat.expect("ask anything")  # it is ready again; a second Ctrl-C before that would be one with the first
    chat.type(CTRL_C)
    chat.expect("Ctrl-D or /bye leaves")
    chat.expect("> ")
    chat.type(CTRL_D)
    assert chat.wait() == 0


def test_errors_leave_the_chat_alive(chat: Terminal) -> None:
    chat.type("die" + ENTER)
    chat.expect("error: ")
    chat.type("/nonsense" + ENTER)
    chat.expect("error: there is no command /nonsense")
    chat.type("/set seed many" + ENTER)
    chat.expect("error: seed wants a whole number")
    chat.type("say alive" + ENTER)
    chat.expect(r"\nalive\n")


def test_commands(chat: Terminal, tmp_path: Path) -> None:
    chat.type("/help" + ENTER)
    chat.expect("/retry")
    chat.type("/system answer in verse" + ENTER)
    chat.expect("system message set")
    chat.type("/set temperature 0.3" + ENTER)
    chat.expect("temperature is 0.3")
    chat.type("/show" + ENTER)
    chat.expect("answer in verse")
    chat.type("think let me see then say done" + ENTER)
    chat.expect("thought for")
    chat.expect(r"\ndone\n")
    chat.type("/show reasoning" + ENTER)
    chat.expect("let me see")
    chat.type("/retry" + ENTER)
    chat.expect(r"\ndone\n")
    chat.type("/model fake:echo" + ENTER)
    chat.expect("talking to fake:echo now")
    chat.type(f"/save {tmp_path}/chat.json" + ENTER)
    chat.expect("saved to")
    saved = json.loads((tmp_path / "chat.json").read_text())
    assert [message["role"] for message in saved["messages"]] == ["user", "assistant"]
    chat.type("/clear" + ENTER)
    chat.expect("forgotten")
    chat.type(f"/load {tmp_path}/chat.json" + ENTER)
    chat.expect("loaded 2 messages")


def test_pasted_lines_are_one_message(chat: Terminal) -> None:
    chat.type("\x1b[200~think one\nsay two\nsay three\x1b[201~" + ENTER)
    chat.expect("thought for")
    chat.expect(r"\ntwo\s*three\n")


def test_alt_enter_begins_a_new_line(chat: Terminal) -> None:
    chat.type("think one\x1b\rsay two" + ENTER)
    chat.expect("thought for")
    chat.expect(r"\ntwo\n")


def test_a_hostile_answer_does_not_reach_the_terminal(chat: Terminal) -> None:
    before = len(chat.raw)
    chat.type("/model fake:echo" + ENTER)
    chat.expect("talking to")
    chat.type("\x1b[200~a\x1b]0;owned\x07b \x9b31m\x1b[201~" + ENTER)
    chat.expect("tokens/s")
    assert "\x1b]0;owned" not in chat.raw[before:]
    assert "\x9b" not in chat.raw[before:]


def test_history_is_kept_for_its_user_only(served: Served) -> None:
    history = served.home / "chat_history"
    terminal = Terminal("run", "fake:obeys", "--no-history", env=environment(served.home))
    try:
        terminal.expect("> ")
        terminal.type("say secret" + ENTER)
        terminal.expect(r"\nsecret\n")
        terminal.type(CTRL_D)
        assert terminal.wait() == 0
    finally:
        terminal.close()
    assert not history.exists() or "secret" not in history.read_text()
    terminal = Terminal("run", "fake:obeys", env=environment(served.home))
    try:
        terminal.expect("> ")
        terminal.type("say kept" + ENTER)
        terminal.expect(r"\nkept\n")
        terminal.type("\x1b[A" + ENTER)
        terminal.expect(r"\nkept\n")
        terminal.type(CTRL_D)
        assert terminal.wait() == 0
    finally:
        terminal.close()
    assert history.stat().st_mode & 0o777 == 0o600
    assert "say kept" in history.read_text()


def test_ctrl_c_ends_a_command_that_answers_once(served: Served) -> None:
    terminal = Terminal("run", "fake:obeys", "stall", env=environment(served.home))
    try:
        terminal.expect("loading fake:obeys")
        terminal.type(CTRL_C)
        assert terminal.wait() == 130
        assert "Traceback" not in terminal.text
    finally:
        terminal.close()


def test_a_name_is_not_looked_for_against_the_will(served: Served) -> None:
    terminal = Terminal("run", "fake:ecco", env=environment(served.home))
    try:
        terminal.expect("did you mean fake:echo")
        terminal.expect("Look for it at")
        terminal.type("n" + ENTER)
        terminal.expect("is not installed, and was not looked for")
        assert terminal.wait() == 3
    finally:
        terminal.close()


def test_a_model_that_is_not_there(served: Served) -> None:
    """It is looked for where models are published, once that was allowed, and what is possible without a way there is said."""
    terminal = Terminal("run", "nothing", env=environment(served.home))
    try:
        terminal.expect("'nothing' is not installed here. Look for it at 127.0.0.1:9\\? \\[Y/n\\]")
        terminal.type(ENTER)
        terminal.expect("nothing is not installed; pulling it")
        terminal.expect("error: the model 'nothing' is not installed, and it could not be pulled")
        terminal.expect("hausgeist run FILE.gguf")
        assert terminal.wait() != 0
    finally:
        terminal.close()


def test_without_a_server_one_is_started_and_ends_with_the_chat(tmp_path: Path) -> None:
    home = tmp_path / "home"
    terminal = Terminal("run", "fake:obeys", env=environment(home))
    try:
        terminal.expect("Ctrl-D leaves")
        server = json.loads((home / "run" / "server.json").read_text())
        assert server["transient"]
        assert psutil.pid_exists(server["pid"])
        terminal.type("say hello" + ENTER)
        terminal.expect(r"\nhello\n")
        terminal.type(CTRL_D)
        assert terminal.wait() == 0
    finally:
        terminal.close()
    gone(server["pid"])


def test_the_server_of_a_chat_ends_however_the_chat_dies(tmp_path: Path) -> None:
    home = tmp_path / "home"
    terminal = Terminal("run", "fake:obeys", env=environment(home))
    try:
        terminal.expect("Ctrl-D leaves")
        server = json.loads((home / "run" / "server.json").read_text())
        os.kill(terminal.pid, signal.SIGKILL)
        gone(server["pid"])
    finally:
        terminal.close()


def test_a_chat_survives_the_end_of_its_server(tmp_path: Path) -> None:
    home = tmp_path / "home"
    terminal = Terminal("run", "fake:obeys", env=environment(home))
    try:
        terminal.expect("Ctrl-D leaves")
        terminal.expect("> ")
        server = json.loads((home / "run" / "server.json").read_text())
        os.kill(server["pid"], signal.SIGKILL)
        gone(server["pid"])
        terminal.type("say again" + ENTER)
        terminal.expect(r"\nagain\n")
    finally:
        terminal.close()


def gone(pid: int) -> None:
    deadline = time.monotonic() + 15
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, f"process {pid} is still there"
        time.sleep(0.05)
