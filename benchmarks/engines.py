"""The engine built for this machine against the wheel: prompt processing and generation at two precisions. Builds it first, once."""

from __future__ import annotations

from benchmarks.report import Figure
from benchmarks.servers import BUILD
from hausgeist.engines.llamacpp.build import build, publish
from hausgeist.engines.llamacpp.providers import Provider, built_binary, providers
from hausgeist.engines.llamacpp.verify import compare
from hausgeist.settings import load_settings

__all__ = ["measure"]

HOME = BUILD / "engine-home"


async def measure() -> list[Figure]:
    settings = load_settings(home=HOME)
    if not built_binary(HOME).exists():
        print("building the engine first, which takes some minutes ...", flush=True)
        publish(HOME, await build(HOME, flavour="native"))
    known = {one.name: one for one in providers(settings)}
    new, old = known["built"], known["wheel"]
    figures = [Figure("engines compared", f"built {_version(new)}, wheel {_version(old)}")]
    for found in await compare(new, old, folder=HOME / "engines"):
        for name, ratio, fast, slow in (
            ("prefill", found.ratios[0], found.new.prefill, found.old.prefill),
            ("generation", found.ratios[1], found.new.generation, found.old.generation),
        ):
            value = f"{ratio:.2f}x ({fast:.1f} against {slow:.1f} tokens/s, quartiles {found.spread:.0%} apart)"
            figures.append(Figure(f"{name}, {found.precision}: built against wheel", value))
    return figures


def _version(one: Provider) -> str:
    return one.version or "unknown"
