"""`hausgeist plan`: which model fits which machine, how fast it is there, what it costs, and whether it pays."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hausgeist.cli.console import hint, note, print_json
from hausgeist.cli.help import Command, examples
from hausgeist.cli.options import Home, Json, complete_file_or_model
from hausgeist.errors import HausgeistError, InvalidRequest, shown

if TYPE_CHECKING:
    from hausgeist.planner.accuracy import Accuracy
    from hausgeist.serving.sizing import Answer
    from hausgeist.settings import Settings

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    usual = examples(
        "hausgeist plan                                       what this machine runs well",
        "hausgeist plan gemma3:12b                            how well it runs here",
        "hausgeist plan gemma3:12b qwen3:14b --gpu 'RTX 4090' --users 4",
        "hausgeist plan llama3.3:70b --gpu 'RTX 3090' --gpus 2 --context 16k --html plan.html",
        "hausgeist plan ./model.gguf --max-context            how much context fits",
        "hausgeist plan llama3.3:70b --engine vllm --gpu 'H100 SXM' --gpus 2 --users 40",
        "hausgeist plan --for documents --users 10 --budget 2500",
        "hausgeist plan gemma3:4b --volume 20M --cloud gpt-5.4-mini --country DE",
    )
    app.command("plan", cls=Command, short_help="what a model needs, how fast it is, what it costs, whether it pays.", epilog=usual)(plan)


def _text(*names: str, metavar: str, words: str) -> Any:
    return typer.Option(*names, metavar=metavar, help=words, show_default=False)


def plan(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="MODEL",
            help="names of the catalogue, installed models, GGUF files, or addresses (hf.co/owner/repo); several are compared.",
            show_default=False,
            autocompletion=complete_file_or_model,
        ),
    ] = None,
    *,
    precision: Annotated[str, _text("--precision", metavar="NAME", words="such as Q4_K_M, Q8_0 or F16; under vLLM BF16, FP8 or AWQ.")] = "",
    context: Annotated[str, _text("--context", metavar="TOKENS", words="tokens per request, such as 8192 or 32k.")] = "",
    users: Annotated[str, _text("--users", metavar="N", words="people who ask at the same time.")] = "",
    slots: Annotated[str, _text("--slots", metavar="N", words="requests side by side; default: one per user.")] = "",
    kv: Annotated[str, _text("--kv", metavar="TYPE", words="precision of the KV cache: f16, q8_0, q4_0, ...; under vLLM f16 or fp8.")] = "",
    engine: Annotated[str, _text("--engine", metavar="NAME", words="llama.cpp (default), or vllm: on cards only, for many users.")] = "",
    draft: Annotated[str, _text("--draft", metavar="MODEL", words="a small model beside it that guesses ahead.")] = "",
    prompt_cache: Annotated[str, _text("--prompt-cache", metavar="SIZE", words="memory that keeps conversations, such as 2GiB.")] = "",
    gpu: Annotated[str, _text("--gpu", metavar="NAME", words="another machine: a card, chip or processor: 'RTX 4090', 'm4 max 64gb'.")] = "",
    gpus: Annotated[str, _text("--gpus", metavar="N", words="how many of these cards in a machine.")] = "",
    nodes: Annotated[str, _text("--nodes", metavar="N", words="how many such machines together.")] = "",
    method: Annotated[str, _text("--method", metavar="NAME", words="arithmetic (default), or fit: ask the engine itself.")] = "",
    max_context: Annotated[bool, typer.Option("--max-context", help="say how much context fits.")] = False,
    purpose: Annotated[str, _text("--for", metavar="USE", words="what to buy for chat, code, vision or documents.")] = "",
    budget: Annotated[str, _text("--budget", metavar="EUR", words="the most to spend on it.")] = "",
    volume: Annotated[str, _text("--volume", metavar="TOKENS", words="tokens per month, such as 20M; input and output together.")] = "",
    cloud: Annotated[str, _text("--cloud", metavar="MODEL", words="the cloud's model to compare with.")] = "",
    country: Annotated[str, _text("--country", metavar="CODE", words="whose electricity: DE, FR, US, ...")] = "",
    upkeep_hours: Annotated[str, _text("--upkeep-hours", metavar="H", words="hours of work on it per month.")] = "",
    upkeep_rate: Annotated[str, _text("--upkeep-rate", metavar="EUR", words="what such an hour costs.")] = "",
    accuracy: Annotated[bool, typer.Option("--accuracy", help="compare what was predicted of loads here with what they took.")] = False,
    calibrate: Annotated[bool, typer.Option("--calibrate", help="first run a small model here, about 45 seconds, so that speeds come true.")] = False,
    sources: Annotated[bool, typer.Option("--sources", help="print what the figures rest on as well, with dates and sources.")] = False,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="write a page with charts, in one file, to mail or print.", show_default=False)
    ] = None,
    as_json: Json = False,
    home: Home = None,
) -> None:
    """what a model needs, how fast it is, what it costs, and whether it pays; before anything is bought or downloaded.

    without a model: what this machine runs well, the best first. prices and assumptions of your own go into prices.toml in the home folder.
    """
    from hausgeist.serving.sizing import Question
    from hausgeist.serving.sizing.local import opened
    from hausgeist.settings import load_settings

    given: dict[str, str | list[str]] = {
        "models": list(models or []), "precision": precision, "context": context, "users": users, "slots": slots, "kv": kv, "engine": engine,
        "draft": draft, "prompt_cache": prompt_cache, "gpu": gpu,
        "gpus": gpus, "nodes": nodes, "method": method, "for": purpose, "budget": budget, "volume": volume, "cloud": cloud, "country": country,
        "upkeep_hours": upkeep_hours, "upkeep_rate": upkeep_rate, "max_context": "yes" if max_context else "",
        "accuracy": "yes" if accuracy else "",
    }  # fmt: skip
    question = Question.of({name: value for name, value in given.items() if value})
    if calibrate and gpu:
        raise InvalidRequest("--calibrate measures this machine; leave --gpu out.", param="gpu")
    settings = load_settings(home=home)
    if calibrate:
        _calibrate(settings)
    with opened(settings, patience=_foretell) as sizing:
        if accuracy:
            _show_accuracy(sizing.accuracy(), html=html, as_json=as_json)
            return
        answer = asyncio.run(sizing.answer(question))
    _show(answer, html=html, as_json=as_json, sources=sources)


def _calibrate(settings: Settings) -> None:
    from hausgeist.serving.sizing import local
    from hausgeist.serving.sizing.calibrating import SECONDS

    hint(f"running a small model of random weights at four precisions, for about {SECONDS} seconds with all cores ...")
    found = asyncio.run(local.calibrate(settings))
    if found.calibration.void:
        hint(f"runs differ by {found.calibration.spread:.0%}, for the machine is busy: not used; try again when it is quiet")
        return
    rates = ", ".join(f"{rate:.0f} at {precision}" for precision, rate in found.generated.items())
    hint(f"it generates {rates} tokens per second; kept for a month, give or take {found.calibration.spread:.0%}")


def _foretell() -> None:
    """Why it takes a while the first time."""
    hint("measuring how fast this machine is; this once, for a few seconds")


def _show(answer: Answer, *, html: Path | None, as_json: bool, sources: bool) -> None:
    if html is not None:
        from hausgeist.cli.planning import report

        _write(html, lambda **about: report(answer, **about))
    if as_json:
        print_json(answer.json())
    elif html is None:
        from hausgeist.cli.planning import print_answer

        print_answer(answer, sources=sources)
    else:
        note(answer.advice)
        hint(f"the page is in {html}")


def _show_accuracy(known: Accuracy, *, html: Path | None, as_json: bool) -> None:
    from hausgeist.cli.planning import accuracy_report, print_accuracy, truth

    if html is not None:
        _write(html, lambda **about: accuracy_report(known, **about))
    if as_json:
        print_json(known.json())
    elif html is None:
        print_accuracy(known)
    else:
        note(truth(known) or "no model was measured on this machine yet")
        hint(f"the page is in {html}")


def _write(path: Path, page: Callable[..., str]) -> None:
    """`page` is told `date` and `version`."""
    from datetime import UTC, datetime

    from hausgeist import __version__

    text = page(date=datetime.now(UTC).strftime("%d %B %Y"), version=__version__)
    try:
        path.expanduser().write_text(text, "utf-8", errors="replace")
    except (OSError, RuntimeError) as error:  # RuntimeError: the home of somebody who is not known here
        reason = getattr(error, "strerror", None) or str(error).rstrip(".")
        raise HausgeistError(f"{shown(str(path), 200)} cannot be written: {reason}. Name a file in a folder that is there and yours.") from error
