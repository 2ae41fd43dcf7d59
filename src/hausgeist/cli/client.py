"""How commands speak to a server: over HTTP to one that runs, or to the same application inside this process when none does.

Both are an `httpx.Client`, so a command does not know the difference. Finds the server; starting one is `transient`'s.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO

from hausgeist.cli.exits import ServerUnreachable
from hausgeist.cli.running import Running, find
from hausgeist.errors import (
    Busy,
    Conflict,
    DiskFull,
    EgressRefused,
    HausgeistError,
    InvalidRequest,
    ModelNotFound,
    NotAllowed,
    NotAuthenticated,
    NotFound,
    NotSupported,
    TooLarge,
    Unavailable,
)
from hausgeist.identity import is_this_machine

if TYPE_CHECKING:
    import httpx

    from hausgeist.settings import Settings

__all__ = ["Client", "RequestFailed", "client_for", "configured_address", "local_client", "remote_address"]

_CONNECT = 5.0
_ERRORS: dict[int, type[HausgeistError]] = {
    401: NotAuthenticated,
    403: NotAllowed,
    404: NotFound,
    409: Conflict,
    413: TooLarge,
    429: Busy,
    503: Unavailable,
    507: DiskFull,
}
_TYPES: dict[str, type[HausgeistError]] = {
    "conflict": Conflict,
    "disk_full": DiskFull,
    "egress_refused": EgressRefused,
    "invalid_request": InvalidRequest,
    "not_allowed": NotAllowed,
    "not_found": NotFound,
    "not_supported": NotSupported,
    "unavailable": Unavailable,
}
"""Of errors in the middle of a stream, which have no status."""


_MISSING = re.compile(r"model '(.{1,200}?)' (?:is not installed|not found)", re.IGNORECASE)
"""How the server says so, in the house's words and in Ollama's."""


class RequestFailed(HausgeistError):
    """The server refused the request."""


class Client:
    """One server, and what can be asked of it. Close it, or use it as a context manager."""

    def __init__(self, http: httpx.Client, *, running: Running | None = None) -> None:
        self._http = http
        self.running = running

    @property
    def address(self) -> str:
        return str(self._http.base_url).rstrip("/")

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, NotFound):
            self._offer(error)
        self.close()

    def _offer(self, error: NotFound) -> None:
        """Put under the error what may have been meant, where it is about a model."""
        if getattr(error, "__notes__", ()) or not (missing := _MISSING.search(error.message)):
            return
        from hausgeist.cli.looking import near

        if meant := near(self, missing[1]):
            error.add_note(meant)

    def close(self) -> None:
        self._http.close()

    def within(self, project: str | None) -> Client:
        """From now on in this project (its name or id) rather than in the key's own. None changes nothing."""
        if project:
            self._http.headers["openai-project"] = project.encode("utf-8").decode("latin-1")
        return self

    def ask(self, method: str, path: str, body: Any = None, *, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
        """One request, one JSON document back ({} where there is none). Raises `HausgeistError` with the server's own message."""
        with self._translated():
            response = self._http.request(method, path, json=body, headers=headers)
        _check(response.status_code, response.content)
        return _parsed(response.content) if response.content else {}

    def text(self, path: str) -> str:
        """What is answered as plain text."""
        with self._translated():
            response = self._http.get(path)
        _check(response.status_code, response.content)
        return response.content.decode("utf-8", "replace")

    def show(self, model: str) -> dict[str, Any]:
        """What is known about a model. Raises `ModelNotFound`."""
        try:
            return self.ask("POST", "/api/show", {"model": model})
        except NotFound:
            raise ModelNotFound(model) from None

    def exists(self, path: str) -> bool:
        """Whether a HEAD request finds something."""
        with self._translated():
            status = self._http.head(path).status_code
        if status != 404:
            _check(status, b"")
        return status != 404

    def upload(self, path: str, chunks: Iterator[bytes], *, size: int = 0) -> dict[str, Any]:
        """Send a file; what is answered ({} for nothing). `size`: its bytes, so that the server can say at once that they do not fit; 0: not
        known."""
        with self._translated():
            response = self._http.post(path, content=chunks, headers={"content-length": str(size)} if size else None)
        _check(response.status_code, response.content)
        return _parsed(response.content) if response.content else {}

    def send_form(self, path: str, fields: Mapping[str, str], *, field: str, filename: str, content: BinaryIO) -> dict[str, Any]:
        """Send a form with a file in it, read as it goes out; what is answered."""
        with self._translated():
            response = self._http.post(path, data=dict(fields), files={field: (filename, content, "application/octet-stream")})
        _check(response.status_code, response.content)
        return _parsed(response.content)

    @contextmanager
    def download(self, path: str, body: Any) -> Iterator[tuple[int, Iterator[bytes]]]:
        """Post, and read a file as it comes: its length (0: not said) and its bytes."""
        with self._translated(), self._http.stream("POST", path, json=body) as response:
            if response.status_code >= 400:
                _check(response.status_code, response.read())
            yield int(response.headers.get("content-length") or 0), response.iter_bytes()

    @contextmanager
    def stream(self, path: str, body: Any) -> Iterator[Iterator[dict[str, Any]]]:
        """Post and read JSON lines as they arrive. Leaving the block closes the connection, which tells the server to stop."""
        with self._translated(), self._http.stream("POST", path, json=body) as response:
            if response.status_code >= 400:
                _check(response.status_code, response.read())
            yield _lines(response.iter_bytes())

    @contextmanager
    def events(self, path: str, body: Any) -> Iterator[Iterator[dict[str, Any]]]:
        """Post and read server-sent events as they arrive, each as its JSON. Leaving the block closes the connection."""
        with self._translated(), self._http.stream("POST", path, json=body) as response:
            if response.status_code >= 400:
                _check(response.status_code, response.read())
            yield _told(response.iter_bytes())

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Errors of the connection, in words that say what to do."""
        import httpx

        try:
            yield
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                raise ServerUnreachable(
                    f"the certificate of {self.address} is not trusted here: write it there with 'hausgeist cert export hausgeist-ca.crt', "
                    "bring that file here, and set SSL_CERT_FILE to it."
                ) from error
            raise ServerUnreachable(
                f"no server answers at {self.address} ({_reason(error)}). Start it with 'hausgeist serve', or name another one with --host."
            ) from error
        except httpx.RemoteProtocolError as error:
            secure = " Does it speak https?" if self.address.startswith("http:") and self.running is None else ""
            raise ServerUnreachable(f"the server at {self.address} broke the connection; its log says why.{secure}") from error
        except httpx.TransportError as error:
            raise ServerUnreachable(f"the connection to {self.address} failed: {_reason(error)}. Try again.") from error


def client_for(settings: Settings, address: str | None = None) -> Client:
    """The server that is named, or the one of this home, or the application itself in this process."""
    if address:
        return Client(_remote(remote_address(address, settings.port)))
    if (running := find(settings.home)) is not None:
        return local_client(running)
    if elsewhere := configured_address(settings):
        return Client(_remote(elsewhere))
    return Client(_in_process(settings))


def configured_address(settings: Settings) -> str:
    """The server that HAUSGEIST_HOST names, where that is an address of one machine; it may be another one than this."""
    if settings.loopback or settings.host in {"0.0.0.0", "::"}:  # noqa: S104
        return ""
    address = remote_address(settings.host, settings.port)
    return address if settings.tls_on else "http" + address.removeprefix("https")


def local_client(running: Running) -> Client:
    """A server on this machine and of this user."""
    import httpx

    verify: Any = True
    if not running.address.startswith("https:"):
        verify = False  # plain HTTP on this machine; spares reading the system's certificates
    elif running.authority:
        import ssl

        # The server's certificate, or the authority that signed it, is in a file of this user's own; that is more than a name can prove.
        verify = ssl.create_default_context(cafile=running.authority)
        verify.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        verify.check_hostname = False
    headers = {"authorization": f"Bearer {running.token}"} if running.token else {}
    http = httpx.Client(base_url=running.address, headers={**_headers(), **headers}, verify=verify, timeout=_timeout(), trust_env=False)
    return Client(http, running=running)


def remote_address(text: str, port: int) -> str:
    """`ai.example.org`, `ai.example.org:4287` or a whole address, as a base address. A bare name of another machine means HTTPS."""
    if "://" in text:
        return text.rstrip("/").removesuffix("/v1").removesuffix("/api")
    host = text
    if text.count(":") == 1:
        host, _, given = text.partition(":")
        if not given.isdigit() or int(given) > 65535:
            raise InvalidRequest(f"'{text}' is not an address: write NAME, NAME:PORT or https://NAME:PORT.")
        port = int(given)
    elif text.count(":") > 1 and not text.startswith("["):
        host = f"[{text}]"
    local = is_this_machine(host.strip("[]"))
    return f"{'http' if local else 'https'}://{host}:{port}"


def _remote(address: str) -> httpx.Client:
    import httpx

    key = os.environ.get("HAUSGEIST_API_KEY", "")
    headers = {**_headers(), **({"authorization": f"Bearer {key}"} if key else {})}
    return httpx.Client(base_url=address, headers=headers, timeout=_timeout())


def _in_process(settings: Settings) -> httpx.Client:
    import httpx

    from hausgeist.cli.inprocess import InProcess

    return httpx.Client(base_url="http://localhost", headers=_headers(), transport=InProcess(settings), timeout=None)  # noqa: S113


def _headers() -> dict[str, str]:
    from hausgeist import __version__

    return {"user-agent": f"hausgeist/{__version__} (terminal)"}


def _timeout() -> Any:
    """Models may think for long; only the connection has to be quick."""
    import httpx

    return httpx.Timeout(None, connect=_CONNECT)


def _check(status: int, body: bytes) -> None:
    if status < 400:
        return
    error: Any = None
    try:
        error = json.loads(body)
    except ValueError:
        error = None
    if isinstance(error, dict):
        error = error.get("error", error)
        error = error.get("message") if isinstance(error, dict) else error
    if status == 401 and not os.environ.get("HAUSGEIST_API_KEY"):
        raise NotAuthenticated("the server wants an API key: set HAUSGEIST_API_KEY. Its owner makes one with 'hausgeist key create'.")
    if status == 400 and body.startswith(b"This port speaks HTTPS"):
        raise ServerUnreachable("this port speaks https; name the server with https:// in front.")
    raise _ERRORS.get(status, RequestFailed)(str(error) if error else f"the server answered with status {status}")


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except ValueError as error:
        raise RequestFailed("the server's answer is not JSON; is this a Hausgeist server?") from error
    if not isinstance(value, dict):
        raise RequestFailed("the server's answer is not what was expected; is this a Hausgeist server?")
    return value


def _lines(chunks: Iterator[bytes]) -> Iterator[dict[str, Any]]:
    """JSON lines, split at newlines only: answers may contain any other separator."""
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        yield from (_event(line) for line in lines if line.strip())
    if rest.strip():
        yield _event(rest)


def _told(chunks: Iterator[bytes]) -> Iterator[dict[str, Any]]:
    """The JSON of server-sent events, whose data this server writes on one line each."""
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            data = line.removeprefix(b"data:").strip()
            if line.startswith(b"data:") and data != b"[DONE]":
                yield _parsed(data)


def _event(line: bytes) -> dict[str, Any]:
    event = _parsed(line)
    if "error" in event:
        error = event["error"]
        kind = _TYPES.get(str(error.get("type")), RequestFailed) if isinstance(error, dict) else RequestFailed
        raise kind(str(error.get("message", error) if isinstance(error, dict) else error))
    return event


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
