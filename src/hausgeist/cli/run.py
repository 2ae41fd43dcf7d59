"""`hausgeist run`: talk to a model, once or in a chat, without starting a server by hand."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hausgeist.cli.console import fail, hint, note, paint, print_json
from hausgeist.cli.exits import INTERRUPTED
from hausgeist.cli.help import Command, examples
from hausgeist.cli.options import Address, Home, complete_file_or_model
from hausgeist.cli.terminal import one_line
from hausgeist.errors import HausgeistError, InvalidRequest, ModelNotFound, NotEnoughMemory, NotFound

if TYPE_CHECKING:
    from hausgeist.cli.answering import Link
    from hausgeist.cli.client import Client
    from hausgeist.cli.conversation import Conversation
    from hausgeist.settings import Settings

__all__ = ["register"]

_EXAMPLES = examples(
    "hausgeist run                                       a chat with the newest model, or with the built-in guide",
    "hausgeist run ./gemma-3-4b.gguf                     a chat",
    'hausgeist run gemma-3-4b "why is the sky blue?"     one answer',
    'cat report.txt | hausgeist run gemma-3-4b "summarise this:"',
    'hausgeist run gemma-3-4b "what is this?" --image photo.jpg',
    "hausgeist run gemma-3-4b 'a cat as JSON' --json-schema cat.json",
)
_LARGEST_PIPE = 16 * 2**20


def register(app: typer.Typer) -> None:
    app.command("run", cls=Command, short_help="talk to a model, in a chat or with one prompt.", epilog=_EXAMPLES)(run)


def run(
    model: Annotated[
        str,
        typer.Argument(
            metavar="[MODEL|FILE]",
            help="name of a model, or a GGUF file; without it, the one installed last.",
            show_default=False,
            autocompletion=complete_file_or_model,
        ),
    ] = "",
    prompt: Annotated[list[str] | None, typer.Argument(metavar="PROMPT", help="what to ask; without it, a chat.", show_default=False)] = None,
    *,
    system: Annotated[str, typer.Option(metavar="TEXT", help="how the model shall behave.", show_default=False)] = "",
    temperature: Annotated[
        float | None, typer.Option(min=0, max=10, metavar="NUMBER", help="0 is the likeliest answer, 1 a lively one.", show_default=False)
    ] = None,
    context: Annotated[
        int | None, typer.Option(min=16, metavar="TOKENS", help="tokens of the conversation that the model sees.", show_default=False)
    ] = None,
    max_tokens: Annotated[int | None, typer.Option(min=1, metavar="TOKENS", help="longest answer in tokens.", show_default=False)] = None,
    seed: Annotated[int | None, typer.Option(metavar="NUMBER", help="the same seed, the same answer.", show_default=False)] = None,
    image: Annotated[list[Path] | None, typer.Option(metavar="FILE", help="send this image along; may be given several times.")] = None,
    json_schema: Annotated[str, typer.Option(metavar="FILE|JSON", help="answer with JSON of this schema ('json': any).", show_default=False)] = "",
    think: Annotated[bool | None, typer.Option("--think/--no-think", help="let the model reason first, where it can.", show_default=False)] = None,
    keep_alive: Annotated[str, typer.Option(metavar="TIME", help="how long the model stays loaded: 10m, 0, -1.", show_default=False)] = "",
    as_json: Annotated[bool, typer.Option("--json", help="print the answer as one JSON object.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown/--no-markdown", help="lay the answer out on a terminal.")] = True,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="say how long everything took.")] = False,
    no_history: Annotated[bool, typer.Option("--no-history", help="do not keep what is typed into the chat.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="look for a model that is not here without asking, whatever its name.")] = False,
    host: Address = None,
    home: Home = None,
) -> int:
    """talk to a model: a chat, or one answer to PROMPT and whatever is piped in."""
    from hausgeist.cli.answering import Link
    from hausgeist.cli.conversation import Conversation, read_image, read_schema
    from hausgeist.settings import load_settings

    settings = load_settings(home=home)
    if _asks(model) and not Path(model).expanduser().is_file():
        model, prompt = "", [model, *(prompt or [])]
    conversation = Conversation(model, system=system, think=think, keep_alive=keep_alive or None)
    for name, value in (("temperature", temperature), ("context", context), ("max-tokens", max_tokens), ("seed", seed)):
        if value is not None:
            conversation.set(name, str(value))
    if json_schema:
        conversation.schema = read_schema(json_schema)
    images = [read_image(path) for path in image or []]
    text = _question(prompt or [])
    file = _model_file(model) if model else None
    link = Link(settings, host, files=(file,) if file is not None else ())
    kept = False
    try:
        if file is not None:
            conversation.model, kept = _offer(link, file)
        elif not model:
            conversation.model = _usual(link)
        elif not _bring(link, model, settings, host, yes=yes):
            return INTERRUPTED
        if text is not None:
            conversation.ask(text, images)
            return _once(link, conversation, as_json=as_json, markdown=markdown, verbose=verbose)
        if as_json or not sys.stdout.isatty():
            raise InvalidRequest("there is nothing to answer: give a PROMPT, or pipe one in.")
        return _chat(link, conversation, settings.home, images, history=not no_history, markdown=markdown, verbose=verbose)
    finally:
        link.close()
        if kept:
            hint(f"the server that runs keeps {conversation.model}; 'hausgeist rm {conversation.model}' removes it")


def _asks(word: str) -> bool:
    """Whether no model is called so, and it is the question itself: names have neither spaces nor letters of other scripts."""
    return any(letter.isspace() for letter in word) or not word.isascii() or (word.endswith("?") and "://" not in word)


def _question(words: list[str]) -> str | None:
    """What was asked: the arguments, then what was piped in. `None` means a chat."""
    parts = [" ".join(words)] if words else []
    if not sys.stdin.isatty() and sys.stdin is not None:
        piped = sys.stdin.buffer.read(_LARGEST_PIPE + 1)
        if len(piped) > _LARGEST_PIPE:
            raise InvalidRequest(f"more than {_LARGEST_PIPE // 2**20} MiB were piped in; no model reads that much.")
        try:
            parts.append(piped.decode().strip("\n"))
        except UnicodeDecodeError as error:
            raise InvalidRequest("what was piped in is not text (UTF-8). Images are sent with --image.") from error
    text = "\n\n".join(part for part in parts if part.strip())
    if not text and not sys.stdin.isatty():
        raise InvalidRequest("there is nothing to answer: the prompt is empty.")
    return text or None


def _model_file(model: str) -> Path | None:
    """The file that MODEL means, if it means one. Raises `NotFound` for a path where nothing is."""
    path = Path(model).expanduser()
    if path.is_file():
        return path.absolute()
    if model.startswith(("./", "../", "~/", "/")) or model.lower().endswith(".gguf"):
        raise NotFound(f"there is no file {model}.")
    return None


def _offer(link: Link, file: Path) -> tuple[str, bool]:
    """Make the file known to the server; its name there, and whether it is new and stays. A server started for this command knows it already,
    and forgets it at the end."""
    from hausgeist.cli.console import err
    from hausgeist.library.gguf.contents import stem

    with err().status("starting"):
        client = link.client()
    name = stem(file)
    if link.own:
        return name, False
    from hausgeist.cli.models import offer_file

    try:
        client.show(name)
    except ModelNotFound:
        return offer_file(client, file), True
    return offer_file(client, file), False


def _usual(link: Link) -> str:
    """The model for somebody who names none: the one installed last, or else the guide. Says which. Raises `ModelNotFound` where there is nothing."""
    from hausgeist.cli.console import err
    from hausgeist.library.guide import NAME, is_guide

    with err().status("starting"):
        client = link.client()
        listed = sorted(client.ask("GET", "/api/tags").get("models", []), key=lambda one: str(one.get("modified_at")), reverse=True)
        names = [str(one["name"]) for one in listed if not str(one["name"]).startswith("fake:")]
        chosen = next((one for one in names if not is_guide(one) and "completion" in client.show(one).get("capabilities", ())), None)
    if chosen is not None:
        name = chosen.removesuffix(":latest")
        note(f"using {one_line(name)}, installed last; 'hausgeist list' shows all")
        return name
    if not any(map(is_guide, names)):
        raise NotFound("no model is installed; 'hausgeist run gemma3:4b' installs one, 'hausgeist catalog' lists more.")
    note("no model is installed: this is the built-in guide, which knows only Hausgeist; 'hausgeist run gemma3:4b' installs a real one")
    return NAME


def _bring(link: Link, model: str, settings: Settings, host: str | None, *, yes: bool) -> bool:
    """Install the model where it is not. False: Ctrl-C. Raises `NotFound` where it cannot be had, `NotEnoughMemory` where it would not fit."""
    from hausgeist.cli.console import err, size
    from hausgeist.cli.looking import agree_to_look
    from hausgeist.cli.pull import advise, fetch, misfit

    with err().status("starting"):
        client = link.client()
    try:
        client.show(model)
        return True
    except ModelNotFound:
        agree_to_look(client, model, settings, yes=yes)
        if not yes and (lines := misfit(client, model)):
            raise NotEnoughMemory("\n".join((*lines, f"'hausgeist run --yes {model}' pulls it all the same"))) from None
        note(f"{one_line(model)} is not installed; pulling it")
    try:
        fetched = fetch(client, "/house/v1/models/pull", {"model": model}, model=model)
    except KeyboardInterrupt:
        hint(f"stopped; what has come is kept: 'hausgeist run {model}' goes on from there")
        return False
    except HausgeistError as error:
        missing = NotFound(f"the model '{one_line(model)}' is not installed, and it could not be pulled: {error.message}")
        missing.__cause__ = error
        raise advise(missing, settings, host) from error
    licence = str(client.show(model).get("license") or "").strip().partition("\n")[0]
    note(f"installed {one_line(model)}: {size(fetched)}" + (f", licence: {licence[:80]}" if licence else ", which names no licence"))
    return True


def _once(link: Link, conversation: Conversation, *, as_json: bool, markdown: bool, verbose: bool) -> int:
    from hausgeist.cli.answering import Stopped, answer
    from hausgeist.cli.conversation import Outcome
    from hausgeist.cli.display import Silent, display, footer

    outcome = Outcome()
    shown = Silent() if as_json else display(f"loading {conversation.model}", markdown=markdown and conversation.schema is None)
    try:
        answer(link, conversation, outcome, shown)
    except Stopped:
        hint("stopped")
        return INTERRUPTED
    if as_json:
        print_json(outcome.as_json())
    elif verbose:
        print(paint(footer(outcome, verbose=True), "quiet", sys.stderr), file=sys.stderr)
    elif outcome.final.get("done_reason") == "length":
        note("the answer was cut at the token limit; --max-tokens raises it, --context makes room")
    return 0


def _chat(link: Link, conversation: Conversation, home: Path, images: list[str], *, history: bool, markdown: bool, verbose: bool) -> int:
    from hausgeist.cli.chat import Chat, welcome
    from hausgeist.cli.console import err

    with err().status("starting"):
        client = link.client()
        about = _about(client, conversation.model)
    welcome(conversation.model, *about)
    chat = Chat(link, conversation, home, history=history, markdown=markdown, verbose=verbose, images=images)
    try:
        chat.run()
    except BrokenPipeError:
        fail("the terminal is gone")
        return 1
    return 0


def _about(client: Client, model: str) -> tuple[str, str]:
    """What to say about the model in a line, and what to warn of. Raises `ModelNotFound`."""
    shown: dict[str, Any] = client.show(model)
    details = shown.get("details") or {}
    parts = [str(details.get(name) or "") for name in ("parameter_size", "quantization_level")]
    return " · ".join(part for part in parts if part), str(shown.get("notice") or "")
