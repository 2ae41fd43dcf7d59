"""`hausgeist cert`: the certificate authority of this home, which other devices have to trust."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hausgeist.cli.console import hint, note, paint, print_json, say
from hausgeist.cli.help import Command, Group, examples
from hausgeist.cli.options import Home, Json
from hausgeist.errors import HausgeistError, NotFound

if TYPE_CHECKING:
    from hausgeist.settings import Settings

__all__ = ["register"]

_EXAMPLES = examples(
    "hausgeist cert export hausgeist-ca.crt",
    "hausgeist cert export | ssh laptop 'cat > hausgeist-ca.crt'",
    "SSL_CERT_FILE=hausgeist-ca.crt python my_openai_client.py",
)


def register(app: typer.Typer) -> None:
    group = typer.Typer(cls=Group, no_args_is_help=True, rich_markup_mode=None)
    group.command("export", cls=Command, epilog=_EXAMPLES)(export)
    group.command("show", cls=Command, epilog=examples("hausgeist cert show", "hausgeist cert show --json"))(show)
    app.add_typer(group, name="cert", help="the certificate authority that other devices have to trust.")


def export(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="file to write; without one, standard output.", show_default=False)] = Path("-"),
    *,
    home: Home = None,
) -> None:
    """write the authority's certificate, for the devices that shall trust this server. it holds no secret."""
    from hausgeist.http.tls import Certificates

    data = Certificates(_network(home)).export()
    if str(file) == "-":
        sys.stdout.buffer.write(data)
        return
    try:
        with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), "wb") as target:
            target.write(data)
    except OSError as error:
        raise HausgeistError(f"{file} cannot be written: {error.strerror}.") from error
    note(f"wrote {file}")
    hint("install it on each device as a trusted authority; for one program: SSL_CERT_FILE, curl --cacert, NODE_EXTRA_CA_CERTS")


def show(*, as_json: Json = False, home: Home = None) -> None:
    """show what is certified, by whom, and until when."""
    settings = _network(home)
    found = {
        name: _about(path)
        for name, path in (
            ("authority", settings.home / "tls" / "ca.crt"),
            ("server", settings.tls_certificate or settings.home / "tls" / "server.pem"),
        )
        if path.is_file()
    }
    if not found:
        raise NotFound("there is no certificate yet: the first start on a bind other than loopback makes one, or 'hausgeist cert export'.")
    if as_json:
        print_json(found)
        return
    for name, about in found.items():
        say(name, "strong")
        for key, value in about.items():
            text = ", ".join(value) if isinstance(value, list) else str(value)
            if text:
                print(f"  {paint(f'{key:<12}', 'quiet')} ", end="")
                say(text)


def _about(path: Path) -> dict[str, Any]:
    """The facts of the first certificate in a PEM file."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError) as error:
        raise HausgeistError(f"{path} cannot be read as a certificate: {error}.") from error
    names: list[str] = []
    try:
        alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names += alternatives.get_values_for_type(x509.DNSName)
        names += [str(address) for address in alternatives.get_values_for_type(x509.IPAddress)]
    except x509.ExtensionNotFound:
        pass
    return {
        "file": str(path),
        "subject": certificate.subject.rfc4514_string(),
        "issuer": certificate.issuer.rfc4514_string(),
        "names": names,
        "valid from": certificate.not_valid_before_utc.isoformat(),
        "valid until": certificate.not_valid_after_utc.isoformat(),
        "fingerprint": certificate.fingerprint(hashes.SHA256()).hex(":").upper(),
    }


def _network(home: Path | None) -> Settings:
    """The settings, as they are when the server listens to the network: that is what is certified."""
    from hausgeist.settings import load_settings

    settings = load_settings(home=home)
    # An authority made for loopback alone could never vouch for this machine's name.
    return load_settings(home=home, host="0.0.0.0") if settings.loopback else settings  # noqa: S104
