"""The worker process: `python -m hausgeist.engines.llamacpp.worker`, its configuration as one line of JSON on standard input.

Owns what happens between the fork and the first request: ties itself to its parent, gives up the network and most files, starts the engine. It
imports nothing of Hausgeist but its neighbours here. Standard input stays open as long as the parent lives; standard error is the engine's log;
what the parent must know (the address, when it is not known before) goes to standard output as one line of JSON.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from importlib import import_module
from typing import Any, NoReturn

from hausgeist.engines.llamacpp.landlock import confine
from hausgeist.engines.llamacpp.pages import let_go
from hausgeist.sandbox import process as sandbox

__all__ = ["arguments", "main"]

_LAST_WORDS = 0.3
"""Seconds: the engine says why it failed from a thread of its own, which ends with the process."""


def main() -> None:
    """Never returns: serves until it is told to end, or its parent has."""
    config: dict[str, Any] = json.loads(sys.stdin.buffer.readline())
    sandbox.limit(config["memory"])
    sandbox.die_with_parent(config["parent"])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal is for the server, which drains first
    if not sandbox.deny_network() and sandbox.LINUX:
        _say("the network could not be switched off for this process (no seccomp here)")
    if (why := confine(config)) and sandbox.LINUX:
        _say(f"it can read what the server can read: {why}")
    if config["binary"]:
        _run_binary(config)
    else:
        _run_wheel(config)


def _run_wheel(config: dict[str, Any]) -> NoReturn:
    report = os.dup(1)
    os.dup2(2, 1)
    threading.Thread(target=_watch_parent, args=(lambda: os._exit(0),), daemon=True).start()
    try:
        xllamacpp = import_module("xllamacpp")
        server = xllamacpp.Server(_wheel_parameters(xllamacpp, config))
    except Exception as error:
        time.sleep(_LAST_WORDS)
        _say(f"{type(error).__name__}: {error}")
        _flush_and_exit(1)
    if sandbox.LINUX:
        let_go(config["model"], config["draft"])
    os.write(report, json.dumps({"address": server.listening_address}).encode() + b"\n")
    os.close(report)
    while True:
        threading.Event().wait()


def _run_binary(config: dict[str, Any]) -> NoReturn:
    command = [config["binary"], *arguments(config)]
    os.environ["LLAMA_API_KEY"] = config["key"]  # a flag would stand in the list of processes
    if sandbox.LINUX:
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.dup2(2, 1)
        try:
            os.execv(command[0], command)  # noqa: S606 - no shell wanted
        except OSError as error:
            _say(f"{command[0]} does not start: {error.strerror}")
            _flush_and_exit(1)
    # Without a death signal this process stays in between, and ends the engine when the pipe of its own parent breaks.
    engine = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sys.stderr.fileno())

    def stop(*_: object) -> None:
        engine.kill()
        os._exit(0)

    signal.signal(signal.SIGTERM, stop)
    threading.Thread(target=_watch_parent, args=(stop,), daemon=True).start()
    _flush_and_exit(engine.wait() & 0xFF)


def _watch_parent(end: Any) -> None:
    """Standard input reaches its end when the parent has, however it died."""
    with contextlib.suppress(OSError):
        while os.read(0, 4096):
            pass
    end()


def _say(text: str) -> None:
    print(f"worker: {text}", file=sys.stderr, flush=True)


def _flush_and_exit(code: int) -> NoReturn:
    sys.stderr.flush()
    os._exit(code)


def _wheel_parameters(x: Any, config: dict[str, Any]) -> Any:
    """The engine's own parameter object. Names on the right are llama.cpp's."""
    p = x.CommonParams()
    p.model.path = config["model"]
    p.model_alias = {config["alias"]}
    p.hostnames = [config["listen"]]
    p.port = config["port"]
    p.api_keys = [config["key"]]
    p.n_ctx, p.n_parallel, p.kv_unified, p.kv_unified_per_slot = config["cells"], config["slots"], False, config["context"]
    p.n_batch, p.n_ubatch = config["batch"], config["micro_batch"]
    kind = getattr(x.ggml_type, f"GGML_TYPE_{config['cache_type'].upper()}")
    p.cache_type_k = p.cache_type_v = kind
    flash = {"auto": "AUTO", "on": "ENABLED", "off": "DISABLED"}[config["flash_attention"]]
    p.flash_attn_type = getattr(x.llama_flash_attn_type, f"LLAMA_FLASH_ATTN_TYPE_{flash}")
    p.cpuparams.n_threads = p.cpuparams_batch.n_threads = config["threads"]
    p.n_threads_http = config["http_threads"]
    p.cache_ram_mib = config["prompt_cache_mib"]
    p.cache_idle_slots = bool(config["prompt_cache_mib"])
    p.n_ctx_checkpoints = config["checkpoints"]
    p.slot_prompt_similarity = config["similarity"]
    if config["gpu_layers"] is not None:
        p.n_gpu_layers = p.speculative.draft.n_gpu_layers = config["gpu_layers"]
        p.mmproj_use_gpu = config["gpu_layers"] != 0
    if config["tensor_split"]:
        shares = list(p.tensor_split)
        shares[: len(config["tensor_split"])] = config["tensor_split"]
        p.tensor_split = shares
    if config["projector"]:
        p.mmproj.path = config["projector"]
    if config["adapters"]:
        p.lora_adapters = [x.CommonAdapterLoraInfo(path, scale) for path, scale in config["adapters"]]
    kinds = x.common_speculative_type
    if config["draft"]:
        p.speculative.draft.mparams.path = config["draft"]
        p.speculative.draft.cpuparams.n_threads = p.speculative.draft.cpuparams_batch.n_threads = config["threads"]
        p.speculative.types = [kinds.COMMON_SPECULATIVE_TYPE_DRAFT_SIMPLE]
    elif config["speculation"] == "ngram":
        p.speculative.types = [kinds.COMMON_SPECULATIVE_TYPE_NGRAM_SIMPLE]
    if config["task"] != "generate":
        p.embedding = True
    if config["pooling"]:
        p.pooling_type = getattr(x.llama_pooling_type, f"LLAMA_POOLING_TYPE_{config['pooling'].upper()}")
    if config["template"]:
        p.chat_template = config["template"]
    p.fit_params = config["fit"] or config["place"]
    p.verbosity = 5 if config["fit"] else 1
    p.warmup = p.ui = p.ctx_shift = p.endpoint_props = False
    p.endpoint_slots = p.endpoint_metrics = p.use_jinja = p.offline = True
    p.sse_ping_interval = config["ping"]
    return p


def arguments(config: dict[str, Any]) -> list[str]:
    """The same as flags of llama-server."""
    flags: dict[str, object] = {
        "--model": config["model"],
        "--alias": config["alias"],
        "--host": config["listen"],
        "--port": config["port"],
        "--ctx-size": config["cells"],
        "--parallel": config["slots"],
        "--kv-unified-per-slot": config["context"],
        "--batch-size": config["batch"],
        "--ubatch-size": config["micro_batch"],
        "--cache-type-k": config["cache_type"],
        "--cache-type-v": config["cache_type"],
        "--flash-attn": config["flash_attention"],
        "--threads": config["threads"],
        "--threads-batch": config["threads"],
        "--threads-http": config["http_threads"],
        "--cache-ram": config["prompt_cache_mib"],
        "--ctx-checkpoints": config["checkpoints"],
        "--slot-prompt-similarity": config["similarity"],
        "--fit": "on" if config["fit"] or config["place"] else "off",
        "--log-verbosity": 5 if config["fit"] else 1,
        "--sse-ping-interval": config["ping"],
    }
    bare = ["--no-kv-unified", "--no-warmup", "--no-ui", "--no-context-shift", "--slots", "--metrics", "--jinja", "--offline", "--log-colors", "off"]
    bare.append("--cache-idle-slots" if config["prompt_cache_mib"] else "--no-cache-idle-slots")
    if config["gpu_layers"] is not None:
        flags["--n-gpu-layers"] = config["gpu_layers"]
        if config["gpu_layers"] == 0:
            bare.append("--no-mmproj-offload")
    if config["tensor_split"]:
        flags["--tensor-split"] = ",".join(str(share) for share in config["tensor_split"])
    if config["projector"]:
        flags["--mmproj"] = config["projector"]
    for path, scale in config["adapters"]:
        bare += ["--lora-scaled", f"{path}:{scale}"]
    if config["draft"]:
        flags |= {"--model-draft": config["draft"], "--spec-type": "draft-simple", "--threads-draft": config["threads"]}
        if config["gpu_layers"] is not None:
            flags["--n-gpu-layers-draft"] = config["gpu_layers"]
    elif config["speculation"] == "ngram":
        flags["--spec-type"] = "ngram-simple"
    if config["task"] == "embed":
        bare.append("--embeddings")
    if config["task"] == "rerank":
        bare.append("--rerank")
    elif config["pooling"]:
        flags["--pooling"] = config["pooling"]
    if config["template"]:
        flags["--chat-template"] = config["template"]
    return [part for flag, value in flags.items() for part in (flag, str(value))] + bare


if __name__ == "__main__":
    main()
