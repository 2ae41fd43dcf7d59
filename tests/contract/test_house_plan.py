"""/house/v1/plan of a server that runs: of a model that is installed there, by arithmetic and by the engine's own word."""

from __future__ import annotations

import httpx

from tests.contract.conftest import Live

PARTS = ("weights_bytes", "kv_cache_bytes", "compute_bytes", "output_bytes", "repack_bytes", "overhead_bytes")


def test_a_model_that_is_installed(live: Live) -> None:
    plans = {}
    for method in ("arithmetic", "fit"):
        answer = httpx.get(f"{live.url}/house/v1/plan", params={"model": "tiny", "context": "512", "method": method}, timeout=120)
        assert answer.status_code == 200, answer.text
        plans[method] = told = answer.json()
        assert (told["model"], told["method"], told["fits"]) == ("tiny", method, True)
        assert told["total_bytes"] == sum(told[part] for part in PARTS)
    # The engine cuts to whole MiB, and tiny is smaller than that.
    assert abs(plans["arithmetic"]["weights_bytes"] + plans["arithmetic"]["repack_bytes"] - plans["fit"]["weights_bytes"]) < 2 * 2**20


def test_a_model_that_is_only_known(live: Live) -> None:
    told = httpx.get(f"{live.url}/house/v1/plan", params={"model": "gemma3:4b", "gpu": "RTX 4090"}, timeout=120).json()
    assert (told["model"], told["device"]) == ("gemma3:4b", "NVIDIA RTX 4090")
    assert told["generate_tokens_per_second"] > 20


def test_no_such_model(live: Live) -> None:
    answer = httpx.get(f"{live.url}/house/v1/plan", params={"model": "gema3:4b"}, timeout=120)
    assert answer.status_code == 404
    assert "Did you mean gemma3:4b" in answer.json()["error"]["message"]
