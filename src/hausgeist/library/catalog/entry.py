"""One model of the catalogue, as its data files have it, checked when it is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any, Final, Literal, get_args

from hausgeist.anatomy import Anatomy, Compressed, Encoder, Experts, Latent, Recurrent, active_parameters, encoder_tensors
from hausgeist.errors import StoreError
from hausgeist.library.catalog.mix import DEFAULT_PRECISION, MIXES, file_bytes

__all__ = ["USES", "Commercial", "Entry", "Use", "decode"]

Use = Literal["chat", "code", "vision", "embedding", "rerank", "speech"]
Commercial = Literal["yes", "conditions", "no", "unknown"]

USES: Final[tuple[Use, ...]] = get_args(Use)
_SMALL_ENCODERS: Final = ("bert", "nomic-bert", "modern-bert")
_READERS: Final = 500_000_000
_LAYERWISE: Final = ("kv_heads", "key_length", "value_length", "ffn")
_PARTS: Final[Mapping[str, type[Any]]] = MappingProxyType(
    {
        "experts": Experts,
        "latent": Latent,
        "compressed": Compressed,
        "recurrent": Recurrent,
        "encoder": Encoder,
        "listener": Encoder,
    }
)
_NEEDED: Final = ("name", "maker", "family", "parameters", "context", "licence", "commercial", "released", "shape", "sources")
_LISTS: Final = ("aliases", "modalities", "use", "install")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A model by name. Precisions of the same weights are one entry."""

    name: str
    """As Ollama's library calls it, where it does."""
    maker: str
    family: str
    title: str = ""
    """What its maker calls it."""
    aliases: tuple[str, ...] = ()
    """What else people type: short names, repositories of the hub."""
    parameters: int
    """As it was published or counted, not computed from `anatomy`."""
    stated: str = ""
    """How the number was given, where it was rounded."""
    context: int
    """Tokens the model was made for."""
    modalities: tuple[str, ...] = ("text",)
    use: tuple[Use, ...] = ("chat",)
    licence: str
    commercial: Commercial
    """Whether it may be used for business: as the licence's summary has it, and no legal advice."""
    released: str
    """Year, month and day as far as they are known, 2025-04-28."""
    precision: str = DEFAULT_PRECISION
    """What it is usually run at."""
    install: tuple[str, ...]
    """What `hausgeist pull` understands, the first choice first."""
    anatomy: Anatomy
    sources: Mapping[str, str] = field(default_factory=dict)
    """Where which numbers are from."""

    @cached_property
    def active(self) -> int:
        """Parameters that take part in one token."""
        return active_parameters(self.anatomy)

    @cached_property
    def projector_bytes(self) -> int:
        """Bytes of the second file, which holds the encoder of images or sound (in F16, as it is published); 0 where there is none."""
        return sum(tensor.elements for tensor in encoder_tensors(self.anatomy)) * 2

    def weights_bytes(self, precision: str = "") -> int:
        """Bytes of the file with the language model at a precision; its own where none is named. Raises `InvalidRequest`."""
        return file_bytes(self.anatomy, precision or self.precision)

    @cached_property
    def size(self) -> int:
        """Bytes of all that is downloaded at the usual precision."""
        return self.weights_bytes() + self.projector_bytes

    @property
    def served(self) -> bool:
        """Whether an engine of ours can run it: llama.cpp knows neither of these architectures."""
        return self.anatomy.architecture not in ("whisper", "mllama")

    @property
    def reads(self) -> bool:
        """Whether it can be trusted to answer from passages that it is given: smaller ones say what they like."""
        return "chat" in self.use and self.parameters >= _READERS

    @property
    def experts(self) -> bool:
        return self.anatomy.experts is not None


def decode(raw: Any, where: str) -> Entry:
    """Raises `StoreError` naming the file and what is wrong with it: the data came with the program and are damaged."""
    if not isinstance(raw, dict) or not isinstance(raw.get("name"), str):
        raise _wrong(where, "an entry without a name")
    where = f"{where}: {raw['name']}"
    if missing := [key for key in _NEEDED if key not in raw]:
        raise _wrong(where, f"{', '.join(missing)} missing")
    values = dict(raw)
    shape = values.pop("shape")
    for key in _LISTS:
        if key in values:
            values[key] = tuple(values[key])
    precision = values.pop("precision", "F16" if shape.get("architecture") in _SMALL_ENCODERS else DEFAULT_PRECISION)
    try:
        entry = Entry(**values, precision=precision, anatomy=_anatomy(shape))
    except (KeyError, TypeError, ValueError) as error:
        raise _wrong(where, str(error)) from error
    if fault := _fault(entry):
        raise _wrong(where, fault)
    return entry


def _anatomy(shape: Mapping[str, Any]) -> Anatomy:
    values: dict[str, Any] = {}
    for key, value in shape.items():
        if key in _LAYERWISE and isinstance(value, int):
            values[key] = (value,)
        elif isinstance(value, dict):
            values[key] = _PARTS[key](**{name: _frozen(one) if isinstance(one, list) else one for name, one in value.items()})
        else:
            values[key] = _frozen(value) if isinstance(value, list) else value
    return Anatomy(**values)


def _frozen(value: Any) -> Any:
    return tuple(_frozen(one) for one in value) if isinstance(value, list) else value


def _fault(entry: Entry) -> str:
    """What is wrong with the values of an entry; empty: nothing."""
    anatomy = entry.anatomy
    if min(entry.parameters, entry.context, anatomy.layers, anatomy.hidden, anatomy.vocabulary) <= 0:
        return "a number that must be above 0 is not"
    for name in _LAYERWISE:
        if len(getattr(anatomy, name)) not in (1, anatomy.layers):
            return f"{name} has neither one value nor one per layer"
    if unknown := [use for use in entry.use if use not in USES]:
        return f"unknown use {', '.join(unknown)}"
    if entry.commercial not in get_args(Commercial):
        return f"unknown value of commercial: {entry.commercial}"
    if entry.precision not in MIXES:
        return f"unknown precision {entry.precision}"
    if not entry.install or not entry.use:
        return "no source to install it from, or no use"
    return ""


def _wrong(where: str, what: str) -> StoreError:
    return StoreError(f"The catalogue is damaged ({where}: {what}); install Hausgeist anew.")
