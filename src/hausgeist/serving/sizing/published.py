"""A model as its maker publishes it, which is what vLLM runs: its shape from the catalogue or a file, its bytes at a precision of vLLM."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from difflib import get_close_matches
from typing import Final

from hausgeist.errors import InvalidRequest, shown
from hausgeist.library.catalog import MIXES
from hausgeist.library.sources.precisions import precision_of
from hausgeist.planner.devices.device import Device
from hausgeist.planner.memory import vllm
from hausgeist.serving.sizing.subjects import Subject

__all__ = ["published"]

_OTHERWISE: Final[Mapping[str, str]] = {
    "FP16": "F16", "HALF": "F16", "16BIT": "BF16", "F8": "FP8", "8BIT": "FP8", "FP8E4M3": "FP8", "W8A8": "INT8", "INT4": "AWQ", "4BIT": "AWQ",
    "W4A16": "GPTQ", "GPTQINT4": "GPTQ", "AWQINT4": "AWQ",
}  # fmt: skip
"""How people call them besides."""
_PUBLISHED: Final[Mapping[str, str]] = {
    "deepseek-v3": "FP8", "deepseek-r1:671b": "FP8", "kimi-k2:": "FP8", "minimax-m2": "FP8", "kimi-k2-thinking": "GPTQ", "kimi-k2.": "GPTQ",
    "gpt-oss": "MXFP4",
}  # fmt: skip
"""Beginning of a name -> what its maker publishes (`quantization_config` in config.json on the hub): FP8 in blocks, which is as large as FP8 in rows;
whole numbers of 4 bits, to which GPTQ comes nearest. All others come in 16 bits."""


def published(subject: Subject, asked: str, wanted: str, device: Device | None) -> Subject:
    """`asked`: the name that was typed, which may name a precision; `wanted`: one in whatever spelling; empty: as it is published, in the kind of
    16 bits that the device has.

    Raises `InvalidRequest` for a precision that vLLM does not run.
    """
    own = _own(subject)
    there = vllm.possible(device) if device is not None else ()
    named = precision_of(asked) if subject.entry is not None and subject.path is None else ""
    name = _precision(wanted or named, subject, there or tuple(vllm.PRECISIONS)) or own
    if name == "BF16" and "F16" in there and "BF16" not in there:
        name = "F16"
    if name == "MXFP4" and own != "MXFP4":
        raise InvalidRequest(f"{shown(subject.name)} is not published in MXFP4; {_others(there, own)} are possible.", param="precision")
    return replace(
        subject, precision=name, header=vllm.with_bytes(subject.header, vllm.PRECISIONS[name]), install="", path=None, cut=False, installed=None
    )


def _own(subject: Subject) -> str:
    name = subject.entry.name if subject.entry is not None else subject.name
    return next((kind for start, kind in _PUBLISHED.items() if name.startswith(start)), "BF16")


def _precision(text: str, subject: Subject, there: tuple[str, ...]) -> str:
    if not text:
        return ""
    name = text.strip().upper().replace("-", "").replace("_", "")
    if (known := _OTHERWISE.get(name, name)) in vllm.PRECISIONS:
        return known
    possible = _others(there, _own(subject))
    if name in {kind.replace("_", "") for kind in MIXES}:
        raise InvalidRequest(
            f"{shown(text, 40)} is a precision of GGUF files, which vLLM is not planned with; {possible} are possible.", param="precision"
        )
    near = get_close_matches(name, vllm.PRECISIONS, n=1, cutoff=0.5)
    raise InvalidRequest(
        f"vLLM has no precision '{shown(text, 40)}'.{f' Did you mean {near[0]}?' if near else ''} Possible are {possible}.", param="precision"
    )


def _others(there: tuple[str, ...], own: str) -> str:
    return ", ".join(name for name in there or vllm.PRECISIONS if name != "MXFP4" or own == "MXFP4")
