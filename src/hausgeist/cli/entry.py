"""The tree of commands, and how a command line ends: which exit code, which words.

Owns the mapping of errors to the terminal. The commands themselves are in the modules of their group.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from hausgeist.cli.console import fail, hint
from hausgeist.cli.exits import EXIT_CODES, FAILED, INTERRUPTED, OK, USAGE, exit_code
from hausgeist.cli.help import Group
from hausgeist.errors import HausgeistError

__all__ = ["build", "main"]

_EPILOG = "\b\nexit codes:\n" + "\n".join(f"  {code:<4} {meaning}" for code, meaning in EXIT_CODES.items())


def _version(value: bool) -> None:
    if value:
        from hausgeist import __version__

        print(f"hausgeist {__version__}")
        raise typer.Exit


def _root(
    version: Annotated[bool, typer.Option("--version", "-V", callback=_version, is_eager=True, help="print the version.")] = False,
) -> None:
    """the private AI server in one Python package.

    start with 'hausgeist run FILE.gguf' to talk to a model, or 'hausgeist serve FILE.gguf' to offer it to your tools.
    """


def build() -> typer.Typer:
    """All commands."""
    from hausgeist.cli import (
        add,
        adopt,
        archive,
        ask,
        catalog,
        cert,
        demo,
        docs,
        doctor,
        engine,
        evaluate,
        key,
        making,
        models,
        plan,
        portable,
        project,
        pull,
        push,
        run,
        search,
        serve,
        user,
        versions,
        watch,
    )

    app = typer.Typer(
        name="hausgeist",
        cls=Group,
        rich_markup_mode=None,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        epilog=_EPILOG,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )
    app.callback()(_root)
    serve.register(app)
    run.register(app)
    for documents in (add, ask, search, watch, docs, demo):
        documents.register(app)
    pull.register(app)
    push.register(app)
    adopt.register(app)
    models.register(app)
    making.register(app)
    versions.register(app)
    portable.register(app)
    catalog.register(app)
    plan.register(app)
    evaluate.register(app)
    for group in (engine, user, key, project, cert):
        group.register(app)
    doctor.register(app)
    archive.register(app)
    return app


def main(arguments: Sequence[str]) -> int:
    """Run one command line. Never raises; errors become a line on stderr and an exit code."""
    _write_unicode()
    try:
        code = _invoke(list(arguments))
        sys.stdout.flush()
    except BrokenPipeError:
        _silence()
        return FAILED
    return code


def _invoke(arguments: list[str]) -> int:
    try:
        code = build()(arguments, prog_name="hausgeist", standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        print(file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        raise
    except HausgeistError as error:
        if _debugging():
            raise
        fail(error.message)
        for line in getattr(error, "__notes__", ()):
            hint(line)
        return exit_code(error)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else FAILED
    except Exception as error:
        if hasattr(error, "format_message"):
            return _usage(error)
        if _debugging():
            raise
        _unexpected(error, arguments)
        return FAILED
    return code if isinstance(code, int) else OK


def _usage(error: Any) -> int:
    """What is wrong with a command line, as Typer found it."""
    message = error.format_message()
    if type(error).__name__ == "NoArgsIsHelpError":
        print(message)
        return USAGE
    message = message.replace("Value error, ", "").strip().rstrip(".")
    fail(message[:1].lower() + message[1:])
    if (context := getattr(error, "ctx", None)) is not None:
        hint(f"see '{context.command_path} --help'")
    return int(error.exit_code)


def _debugging() -> bool:
    return os.environ.get("HAUSGEIST_LOG_LEVEL", "").lower() == "debug"


def _unexpected(error: Exception, arguments: Sequence[str]) -> None:
    """Keep the traceback where it can be sent from, and say where."""
    import traceback

    from hausgeist.settings import default_home

    with contextlib.suppress(BrokenPipeError):
        fail(f"something unexpected happened ({type(error).__name__}: {str(error)[:300]})")
    home = default_home()
    if "--home" in arguments[:-1]:
        home = Path(arguments[list(arguments).index("--home") + 1])
    log = home / "logs" / "cli.log"
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        log.parent.mkdir(mode=0o700, exist_ok=True)
        with open(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "a", encoding="utf-8") as file:
            command = next((part for part in arguments if not part.startswith("-")), "")
            file.write(f"{time.strftime('%Y-%m-%dT%H:%M:%S%z')} hausgeist {command}\n")
            file.write("".join(traceback.format_exception(error)) + "\n")
    except OSError:
        hint("for details run it again with HAUSGEIST_LOG_LEVEL=debug")
    else:
        hint(f"details are in {log}; please report this")


def _write_unicode() -> None:
    """Never fail on a character that the terminal's encoding lacks."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError):
            stream.reconfigure(errors="replace")  # type: ignore[union-attr]


def _silence() -> None:
    """The reader is gone ('hausgeist list | head'): say nothing, also not when the interpreter flushes at its end."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
