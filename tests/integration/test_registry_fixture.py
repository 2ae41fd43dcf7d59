"""The registry of the tests: a real one, filled over the OCI API, with each way of letting people in."""

from __future__ import annotations

import hashlib
from pathlib import Path

import httpx
import pytest

from tests.registry import MANIFEST, Access, Registry


@pytest.mark.parametrize(("access", "challenge"), [("open", ""), ("basic", "Basic "), ("token", "Bearer ")])
def test_a_model_is_pushed_and_there(tmp_path: Path, access: Access, challenge: str) -> None:
    with Registry(tmp_path, access=access) as registry:
        digest = registry.push("library/tiny", [("model", b"GGUF" * 100), ("template", b"{{ .Prompt }}")])
        with httpx.Client(base_url=registry.url, trust_env=False) as client:
            answer = client.get("/v2/library/tiny/manifests/latest", headers={"Accept": MANIFEST})
            if challenge:
                assert answer.status_code == 401
                assert answer.headers["WWW-Authenticate"].startswith(challenge)
                if registry.tokens is not None:
                    client.headers["Authorization"] = f"Bearer {registry.tokens.token('repository:library/tiny:pull')}"
                else:
                    client.auth = httpx.BasicAuth(registry.USER, registry.PASSWORD)
                answer = client.get("/v2/library/tiny/manifests/latest", headers={"Accept": MANIFEST})
            assert answer.status_code == 200
            assert f"sha256:{hashlib.sha256(answer.content).hexdigest()}" == digest
            layers = answer.json()["layers"]
            assert [layer["mediaType"].rpartition(".")[2] for layer in layers] == ["model", "template"]
            assert client.get(f"/v2/library/tiny/blobs/{layers[0]['digest']}", headers={"Range": "bytes=4-7"}).content == b"GGUF"
        assert registry.blob(layers[1]["digest"]).read_bytes() == b"{{ .Prompt }}"
