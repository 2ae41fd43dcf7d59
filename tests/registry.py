"""A real OCI registry (Debian's docker-registry) as a process on loopback, and what it takes to fill it with models in Ollama's layout.

Three ways in: everybody, name and password (`Basic`), or a token from a server of its own (`Bearer`), which this module plays.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import json
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

__all__ = ["IMAGE", "MANIFEST", "Registry", "require_registry"]

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
IMAGE = "application/vnd.ollama.image."
CONFIG = "application/vnd.docker.container.image.v1+json"

Access = Literal["open", "basic", "token"]

Layer = tuple[str, bytes | Path]
"""The last word of the media type (model, projector, template, ...), or all of it; the content."""


def require_registry() -> str:
    """Its program. Where it is missing the test is skipped, and fails in CI."""
    found = shutil.which("docker-registry")
    if found is None:
        reason = "docker-registry is not installed (Debian: apt install docker-registry)"
        if os.environ.get("CI") == "true":
            pytest.fail(f"{reason}, and CI must not skip this (see .ci/run)")
        pytest.skip(reason)
    return found


class Registry:
    """`with Registry(folder) as registry:`. Names may have any number of folders, as everywhere in OCI; Ollama's have two."""

    USER, PASSWORD = "reader", "geheim"
    HTPASSWD = "reader:$2a$05$gdnDVjCiLUZi3DIU0DeVLuBWuEo.3RAgyEqfu3nu/64wwhWE4xYAW\n"

    def __init__(self, folder: Path, *, access: Access = "open") -> None:
        self.folder = folder
        self.access = access
        self.program = require_registry()
        self.host = ""
        self.tokens: TokenServer | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://{self.host}"

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        for _ in range(3):
            if self._start():
                return self
        raise AssertionError(f"docker-registry did not start: {(self.folder / 'log').read_text()[-2000:]}")

    def __exit__(self, *error: object) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        if self.tokens is not None:
            self.tokens.stop()

    def push(self, name: str, layers: Sequence[Layer], *, tag: str = "latest", config: Mapping[str, Any] | None = None) -> str:
        """A model in Ollama's layout. Returns the digest of its manifest (`sha256:...`)."""
        about = json.dumps({"model_format": "gguf", "os": "linux", "architecture": "amd64", **(config or {})}).encode()
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {"mediaType": CONFIG, **self.upload(name, about)},
            "layers": [{"mediaType": kind if "/" in kind else IMAGE + kind, **self.upload(name, content)} for kind, content in layers],
        }
        return self.put(name, tag, json.dumps(manifest).encode())

    def put(self, name: str, tag: str, manifest: bytes, *, media_type: str = MANIFEST) -> str:
        with self._client(name) as client:
            answer = client.put(f"/v2/{name}/manifests/{tag}", content=manifest, headers={"Content-Type": media_type})
            assert answer.status_code == 201, answer.text
            return str(answer.headers["Docker-Content-Digest"])

    def upload(self, name: str, content: bytes | Path) -> dict[str, Any]:
        """A blob by one request; `digest` and `size` as a manifest names them."""
        size = len(content) if isinstance(content, bytes) else content.stat().st_size
        if isinstance(content, bytes):
            digest = hashlib.sha256(content).hexdigest()
        else:
            with content.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        with self._client(name) as client:
            begun = client.post(f"/v2/{name}/blobs/uploads/")
            assert begun.status_code == 202, begun.text
            where = httpx.URL(begun.headers["Location"]).copy_merge_params({"digest": f"sha256:{digest}"})
            data = content if isinstance(content, bytes) else content.read_bytes()
            done = client.put(where, content=data, headers={"Content-Type": "application/octet-stream"})
            assert done.status_code == 201, done.text
        return {"digest": f"sha256:{digest}", "size": size}

    def blob(self, digest: str) -> Path:
        """Where the registry keeps it, for tests that damage or remove it."""
        sha256 = digest.removeprefix("sha256:")
        return self.folder / "data" / "docker/registry/v2/blobs/sha256" / sha256[:2] / sha256 / "data"

    def _client(self, name: str) -> httpx.Client:
        headers = {}
        if self.tokens is not None:
            headers["Authorization"] = f"Bearer {self.tokens.token(f'repository:{name}:pull,push')}"
        auth = (self.USER, self.PASSWORD) if self.access == "basic" else None
        return httpx.Client(base_url=self.url, headers=headers, auth=auth, timeout=60, trust_env=False)

    def _start(self) -> bool:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.host = f"127.0.0.1:{probe.getsockname()[1]}"
        (self.folder / "config.yml").write_text(json.dumps(self._config()))
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("REGISTRY_", "OTEL_"))}
        with (self.folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [self.program, "serve", str(self.folder / "config.yml")], stdout=log, stderr=log, cwd=self.folder, env=environment
            )
        until = time.monotonic() + 20
        while time.monotonic() < until and self._process.poll() is None:
            try:
                if httpx.get(f"{self.url}/v2/", timeout=5, trust_env=False).status_code in {200, 401}:
                    return True
            except httpx.TransportError:
                time.sleep(0.02)
        self._process.kill()
        self._process.wait()
        return False

    def _config(self) -> dict[str, Any]:
        # JSON is YAML.
        config: dict[str, Any] = {
            "version": 0.1,
            "log": {"level": "warn", "accesslog": {"disabled": True}},
            "storage": {"filesystem": {"rootdirectory": str(self.folder / "data")}, "delete": {"enabled": True}},
            "http": {"addr": self.host},
        }
        if self.access == "basic":
            (self.folder / "htpasswd").write_text(self.HTPASSWD)
            config["auth"] = {"htpasswd": {"realm": "house", "path": str(self.folder / "htpasswd")}}
        if self.access == "token":
            self.tokens = self.tokens or TokenServer(self.folder / "tokens.pem", user=self.USER, password=self.PASSWORD)
            config["auth"] = {
                "token": {"realm": self.tokens.url, "service": "house", "issuer": "house-tokens", "rootcertbundle": str(self.folder / "tokens.pem")}
            }
        return config


class TokenServer:
    """Gives out tokens as RFC 6750 and the registry's documentation say: reading is free unless `closed`, then only for the user."""

    def __init__(self, certificate: Path, *, user: str, password: str) -> None:
        self.closed = False
        self.asked: list[tuple[str, str]] = []
        """Scope and Authorization of each request."""
        self._basic = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._certificate = self._certify()
        certificate.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                scope = parse_qs(urlsplit(self.path).query).get("scope", [""])[0]
                credential = self.headers.get("Authorization", "")
                outer.asked.append((scope, credential))
                refused = (outer.closed and not credential) or (credential and credential != outer._basic)
                body = json.dumps({"errors": [{"code": "UNAUTHORIZED"}]} if refused else {"token": outer.token(scope), "expires_in": 60}).encode()
                self.send_response(401 if refused else 200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments: Any) -> None:
                return None

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/token"
        threading.Thread(target=self._server.serve_forever, name="tokens", daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def token(self, scope: str) -> str:
        kind, _, rest = scope.partition(":")
        name, _, actions = rest.rpartition(":")
        now = int(time.time())
        certificate = base64.b64encode(self._certificate.public_bytes(serialization.Encoding.DER)).decode()
        head = {"typ": "JWT", "alg": "ES256", "x5c": [certificate]}
        claims = {
            "iss": "house-tokens",
            "sub": "",
            "aud": "house",
            "exp": now + 60,
            "nbf": now - 10,
            "iat": now,
            "jti": str(now),
            "access": [{"type": kind, "name": name, "actions": actions.split(",")}] if name else [],
        }
        signed = b".".join(_base64(json.dumps(part).encode()) for part in (head, claims))
        first, second = decode_dss_signature(self._key.sign(signed, ec.ECDSA(hashes.SHA256())))
        return b".".join([signed, _base64(first.to_bytes(32, "big") + second.to_bytes(32, "big"))]).decode()

    def _certify(self) -> x509.Certificate:
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "house-tokens")])
        now = datetime.datetime.now(datetime.UTC)
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(self._key.public_key())
        builder = builder.serial_number(1).not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=1))
        return builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True).sign(self._key, hashes.SHA256())


def _base64(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
