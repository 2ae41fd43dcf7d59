"""The parameters that chat completions and completions share, and the sampling extras beyond OpenAI's that are let through.

Every extra is named here with its bounds: what the engine would take beside them (slots, caches, adapters, grammars, sampler chains, ...)
reaches into other requests or exhausts it, and is unknown to the outside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from hausgeist.errors import InvalidRequest, NotSupported
from hausgeist.gateway.bodies import Body
from hausgeist.identity import Origin
from hausgeist.model import InstalledModel

__all__ = ["EXTRAS", "Extras", "Identity", "Sampling", "StopText", "StreamOptions", "StrictBody", "identified"]

_INT32 = 2**31 - 1
_WINDOW = 65_536
"""Tokens that the penalties may look back: the engine reserves a ring of that size per request."""
_STOPS = 16
"""OpenAI takes four; editors that complete code send more."""
_PORTABLE = {"top_k": "top_k", "min_p": "min_p", "repeat_penalty": "repetition_penalty", "ignore_eos": "ignore_eos"}
"""Extras that an OpenAI-compatible upstream is known to understand, under its name for them."""

StopText = Annotated[str, StringConstraints(min_length=1, max_length=1024)]
TokenId = Annotated[str, StringConstraints(pattern=r"^\d{1,9}$")]
Identity = Annotated[str, StringConstraints(max_length=512)]


class StrictBody(Body):
    """JSON's types as they are: a number is not a string."""

    model_config = ConfigDict(strict=True)


class StreamOptions(StrictBody):
    """How a stream is told."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class Extras(StrictBody):
    """What requests may say beyond OpenAI's parameters, about sampling and about how the model is loaded."""

    top_k: int | None = Field(None, ge=-1, le=_INT32)
    min_p: float | None = Field(None, ge=0, le=1)
    typical_p: float | None = Field(None, ge=0, le=1)
    top_n_sigma: float | None = Field(None, ge=-1, le=100)
    xtc_probability: float | None = Field(None, ge=0, le=1)
    xtc_threshold: float | None = Field(None, ge=0, le=1)
    dynatemp_range: float | None = Field(None, ge=0, le=10)
    dynatemp_exponent: float | None = Field(None, ge=0, le=10)
    repeat_penalty: float | None = Field(None, gt=0, le=10)
    repeat_last_n: int | None = Field(None, ge=-1, le=_WINDOW)
    dry_multiplier: float | None = Field(None, ge=0, le=100)
    dry_base: float | None = Field(None, ge=1, le=100)
    dry_allowed_length: int | None = Field(None, ge=0, le=_WINDOW)
    dry_penalty_last_n: int | None = Field(None, ge=-1, le=_WINDOW)
    dry_sequence_breakers: (
        Annotated[list[Annotated[str, StringConstraints(min_length=1, max_length=40)]], Field(min_length=1, max_length=16)] | None
    ) = None
    mirostat: int | None = Field(None, ge=0, le=2)
    mirostat_tau: float | None = Field(None, ge=0, le=100)
    mirostat_eta: float | None = Field(None, ge=0, le=1)
    ignore_eos: bool | None = None
    num_ctx: int | None = Field(None, ge=16, le=_INT32)
    keep_alive: float | None = Field(None, ge=-1, le=_INT32)

    def extras(self, model: InstalledModel) -> dict[str, Any]:
        """The engine's words for them. Raises `NotSupported` for what this model's engine does not know."""
        given = {name: getattr(self, name) for name in EXTRAS if getattr(self, name) is not None}
        if model.engine == "remote":
            foreign = sorted(given.keys() - _PORTABLE.keys())
            if foreign:
                raise NotSupported(f"'{foreign[0]}' is not supported by the server that runs '{model.id}'; leave it out.", param=foreign[0])
            return {_PORTABLE[name]: value for name, value in given.items()}
        for name in ("repeat_last_n", "dry_penalty_last_n"):
            if given.get(name) == -1:
                given[name] = _WINDOW
        if given.get("top_k") == -1:
            given["top_k"] = 0
        return given


class Sampling(Extras):
    """What chat completions and completions have in common."""

    model: Annotated[str, StringConstraints(min_length=1, max_length=512)]
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    logit_bias: Annotated[dict[TokenId, Annotated[float, Field(ge=-100, le=100)]], Field(max_length=1024)] | None = None
    n: int | None = Field(None, ge=1, le=128)
    seed: int | None = Field(None, ge=-(2**63), lt=2**63)
    stop: StopText | Annotated[list[StopText], Field(max_length=_STOPS)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, ge=0, le=1)
    user: Identity | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Sampling:
        if self.stream_options is not None and not self.stream:
            raise ValueError("'stream_options' is only allowed when 'stream' is true")
        return self

    @property
    def streamed(self) -> bool:
        return bool(self.stream)

    @property
    def stream_usage(self) -> bool:
        return bool(self.stream_options and self.stream_options.include_usage)

    def sampled(self, model: InstalledModel) -> dict[str, Any]:
        """The engine's body as far as it is about sampling. Raises `NotSupported` for what this model's engine does not know."""
        if self.stream_options is not None and self.stream_options.include_obfuscation:
            raise NotSupported(
                "'stream_options.include_obfuscation' is not supported here: events are never padded. Set it to false.", param="stream_options"
            )
        body: dict[str, Any] = {}
        for name in ("frequency_penalty", "presence_penalty", "temperature", "top_p"):
            body[name] = getattr(self, name)
        if self.logit_bias:
            body["logit_bias"] = dict(self.logit_bias)
        if self.seed is not None:
            # The engine's seeds have 32 bits, of which the highest value means "random".
            body["seed"] = self.seed % 0xFFFF_FFFF
        if self.stop:
            body["stop"] = [self.stop] if isinstance(self.stop, str) else list(self.stop)
        body.update(self.extras(model))
        return {name: value for name, value in body.items() if value is not None}


EXTRAS: Sequence[str] = (
    *("top_k", "min_p", "typical_p", "top_n_sigma", "xtc_probability", "xtc_threshold", "dynatemp_range", "dynatemp_exponent"),
    *("repeat_penalty", "repeat_last_n", "dry_multiplier", "dry_base", "dry_allowed_length", "dry_penalty_last_n", "dry_sequence_breakers"),
    *("mirostat", "mirostat_tau", "mirostat_eta", "ignore_eos"),
)
"""Sampling options that OpenAI does not have and llama.cpp does."""


def identified(origin: Origin, user: str | None) -> Origin:
    """The origin with the caller's own end user, so that the audit table names whom OpenAI's `user` and `safety_identifier` are for."""
    if not user:
        return origin
    if not user.isprintable():
        raise InvalidRequest("'user' contains characters that cannot be printed.", param="user")
    return replace(origin, agent=f"user {user[:128]} via {origin.agent}")
