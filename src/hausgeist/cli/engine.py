"""`hausgeist engine`: which llama.cpp runs; building one for this machine, trying it, choosing it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from hausgeist.cli.console import Tone, err, hint, note, paint, print_json, say, table, warn
from hausgeist.cli.exits import FAILED, OK
from hausgeist.cli.help import Command, Group, examples
from hausgeist.cli.options import Home, Json
from hausgeist.cli.running import find
from hausgeist.cli.terminal import one_line
from hausgeist.errors import InvalidRequest, NotFound

if TYPE_CHECKING:
    from hausgeist.engines.contract import Outcome
    from hausgeist.engines.llamacpp.build import Progress as BuildProgress
    from hausgeist.engines.llamacpp.providers import Provider
    from hausgeist.engines.llamacpp.verify import Comparison, Renewal, Step
    from hausgeist.settings import Settings

__all__ = ["register"]

_STAGES = {
    "fetch": "fetching the source",
    "unpack": "unpacking",
    "configure": "looking at this machine",
    "compile": "compiling",
    "verify": "checking",
    "write": "preparing to measure",
    "measure": "measuring",
}
_BYTES = {"fetch", "write"}
_MARKS: dict[str, tuple[str, Tone]] = {"passed": ("ok", "good"), "missing": ("none", "quiet"), "broken": ("fail", "bad")}


def register(app: typer.Typer) -> None:
    group = typer.Typer(cls=Group, no_args_is_help=True, rich_markup_mode=None)
    group.command("list", cls=Command, epilog=examples("hausgeist engine list", "hausgeist engine list --json"))(list_engines)
    group.command("use", cls=Command, epilog=examples("hausgeist engine use built", "hausgeist engine use /opt/llama.cpp/llama-server"))(use)
    group.command("verify", cls=Command, epilog=examples("hausgeist engine verify", "hausgeist engine verify built"))(verify)
    group.command(
        "build",
        cls=Command,
        short_help="compile an engine for this machine.",
        epilog=examples("hausgeist engine build", "hausgeist engine build --cuda", "hausgeist engine build --source llama_cpp_python-0.3.36.tar.gz"),
    )(build)
    app.add_typer(group, name="engine", help="which llama.cpp runs, and building one for this machine.")


def list_engines(*, as_json: Json = False, home: Home = None) -> None:
    """show the engines that are here; the one in use is marked."""
    from hausgeist.engines.llamacpp.providers import provider, providers

    settings = _settings(home)
    chosen, found = _chosen(lambda: provider(settings)), providers(settings)
    if as_json:
        print_json({"engines": [{**_as_json(one), "used": one == chosen} for one in found]})
        return
    rows = [["*" if one == chosen else "", one.name, one.version, ", ".join(one.backends), str(one.binary or "")] for one in found]
    table(["", "name", "version", "computes on", "program"], rows)
    if chosen is None:
        warn("the engine that is chosen is not there; 'hausgeist engine use wheel' goes back to the one that came with Hausgeist")
    elif not any(one.name == "built" for one in found):
        hint("'hausgeist engine build' makes one for this machine")


def use(
    engine: Annotated[str, typer.Argument(metavar="NAME|FILE", help="wheel, built, or the path of a llama-server.", show_default=False)],
    *,
    home: Home = None,
) -> None:
    """choose the engine for models that are loaded from now on."""
    from hausgeist.engines.llamacpp.providers import choose

    settings = _settings(home)
    path = Path(engine).expanduser()
    if os.sep in engine or path.is_file():
        if not path.is_file() or not os.access(path, os.X_OK):
            raise NotFound(f"{engine} is not an executable file.")
        choose(settings.home, "binary", path)
        note(f"using {path.absolute()}")
        hint("'hausgeist engine verify' tries it")
    else:
        choose(settings.home, engine)
        note(f"using {engine}")
    _when_it_counts(settings)


def verify(
    engine: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="wheel, built or binary; without a name, the one in use.", show_default=False)
    ] = None,
    *,
    as_json: Json = False,
    home: Home = None,
) -> int:
    """check that an engine does what it must, with tiny models. exits with 1 if it does not."""
    from hausgeist.engines.llamacpp.providers import NAMES, provider

    settings = _settings(home)
    if engine is not None:
        if engine not in NAMES:
            raise InvalidRequest(f"there is no engine '{engine}'. Choose one of {', '.join(NAMES)}.")
        settings = settings.model_copy(update={"engine": engine})
    tried = provider(settings)
    if not as_json:
        say(f"{tried.name} {tried.version} ({', '.join(tried.backends)})", "strong")
    outcomes = asyncio.run(_verify(tried, quiet=as_json))
    broken = sum(outcome.result == "broken" for outcome in outcomes)
    if as_json:
        print_json({"engine": _as_json(tried), "ok": not broken, "checks": [_outcome(outcome) for outcome in outcomes]})
    else:
        note(f"{broken} of {len(outcomes)} checks failed" if broken else f"all {len(outcomes)} checks passed")
    return FAILED if broken else OK


async def _verify(tried: Provider, *, quiet: bool) -> list[Outcome]:
    from hausgeist.engines.llamacpp.verify import verify

    outcomes = []
    async for outcome in verify(tried):
        outcomes.append(outcome)
        if not quiet:
            mark, tone = _MARKS[outcome.result]
            print(f"{paint(f'{mark:<5}', tone)} {outcome.check.name:<24} {paint(outcome.check.meaning, 'quiet')}")
            if outcome.result == "broken":
                print(f"{'':<6}{one_line(outcome.detail)}", flush=True)
    return outcomes


def build(
    *,
    native: Annotated[bool, typer.Option("--native", help="for this processor (the default).")] = False,
    cuda: Annotated[bool, typer.Option("--cuda", help="for NVIDIA GPUs; needs the CUDA toolkit.")] = False,
    vulkan: Annotated[bool, typer.Option("--vulkan", help="for GPUs with Vulkan; needs its headers and glslc.")] = False,
    source: Annotated[Path | None, typer.Option(metavar="FILE", help="the source package, where it cannot be fetched.", show_default=False)] = None,
    as_json: Json = False,
    home: Home = None,
) -> int:
    """compile llama.cpp for this machine, check it, measure it against the wheel, and use it if it is better.

    takes some minutes; a build that was interrupted goes on where it was. the source comes from PyPI, of one version, known by its sha256.
    """
    from hausgeist.engines.llamacpp.verify import renew

    wanted: list[Literal["native", "cuda", "vulkan"]] = []
    wanted += ["native"] if native else []
    wanted += ["cuda"] if cuda else []
    wanted += ["vulkan"] if vulkan else []
    if len(wanted) > 1:
        raise InvalidRequest("choose one of --native, --cuda and --vulkan.")
    settings = _settings(home)
    with _progress() as progress:
        renewal = asyncio.run(
            renew(settings, flavour=wanted[0] if wanted else "native", source=source.expanduser() if source else None, progress=progress)
        )
    if as_json:
        print_json(_renewal(renewal))
        return OK
    built = renewal.built
    note(f"built llama.cpp {built.version} ({', '.join(built.backends)}) in {built.seconds / 60:.0f} minutes; it passes all checks")
    if renewal.comparisons:
        _print_comparisons(renewal.comparisons)
    note(renewal.verdict.reason[:1].lower() + renewal.verdict.reason[1:])
    if renewal.verdict.better:
        note("it is used from now on; 'hausgeist engine use wheel' goes back")
        _when_it_counts(settings)
    else:
        note("nothing was changed; 'hausgeist engine use built' takes it all the same")
    return OK


@contextmanager
def _progress() -> Iterator[Callable[[BuildProgress | Step], None]]:
    """A bar on a terminal; elsewhere a line for each stage."""
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description:<24}"),
        BarColumn(bar_width=30),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[detail]}", style="dim"),
    )
    shown = ""
    with Progress(*columns, console=err(), transient=True, disable=not err().is_terminal) as bars:
        task = bars.add_task("starting", total=None, detail="")

        def tell(step: BuildProgress | Step) -> None:
            nonlocal shown
            kind = step.stage if hasattr(step, "stage") else step.kind
            if kind != shown:
                shown = kind
                bars.reset(task, total=None, description=_STAGES.get(kind, kind), detail="")
                if not err().is_terminal:
                    note(_STAGES.get(kind, kind))
            detail = "" if kind in _BYTES else one_line(step.detail)[: max(0, err().width - 80)]
            bars.update(task, completed=step.done, total=step.total or None, detail=detail)

        yield tell


def _print_comparisons(comparisons: Any) -> None:
    rows = []
    for one in comparisons:
        prefill, generation = one.ratios
        rows.append([one.precision, "reading", f"{one.old.prefill:.1f}", f"{one.new.prefill:.1f}", f"{prefill:.2f}x"])
        rows.append(["", "writing", f"{one.old.generation:.1f}", f"{one.new.generation:.1f}", f"{generation:.2f}x"])
    table(["precision", "tokens/s", "wheel", "built", "ratio"], rows, right=["wheel", "built", "ratio"])


def _renewal(renewal: Renewal) -> dict[str, Any]:
    built = renewal.built
    return {
        "built": {
            "program": str(built.binary),
            "version": built.version,
            "flavour": built.flavour,
            "backends": list(built.backends),
            "seconds": built.seconds,
        },
        "checks": [_outcome(outcome) for outcome in renewal.outcomes],
        "measured": [_comparison(one) for one in renewal.comparisons],
        "better": renewal.verdict.better,
        "speed": renewal.verdict.mean,
        "reason": renewal.verdict.reason,
    }


def _comparison(one: Comparison) -> dict[str, Any]:
    return {
        "precision": one.precision,
        "wheel": {"prefill": one.old.prefill, "generation": one.old.generation},
        "built": {"prefill": one.new.prefill, "generation": one.new.generation},
    }


def _outcome(outcome: Outcome) -> dict[str, Any]:
    return {"check": outcome.check.name, "result": outcome.result, "detail": outcome.detail}


def _as_json(one: Provider) -> dict[str, Any]:
    return {"name": one.name, "version": one.version, "backends": list(one.backends), "program": str(one.binary) if one.binary else None}


def _chosen(ask: Callable[[], Provider]) -> Provider | None:
    try:
        return ask()
    except NotFound:
        return None


def _when_it_counts(settings: Settings) -> None:
    if settings.engine != "auto":
        warn(f"the setting engine = {settings.engine} stands above this choice; remove it to use this one")
    if find(settings.home) is not None:
        hint("the server that runs now goes on with its engine until it is started again")


def _settings(home: Path | None) -> Settings:
    from hausgeist.settings import load_settings

    return load_settings(home=home)
