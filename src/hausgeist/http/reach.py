"""Under which names and numbers other machines reach a server that listens on all addresses, and which of them its certificate covers."""

from __future__ import annotations

import socket
from ipaddress import ip_address
from pathlib import Path

from hausgeist.http.facts import parse_address
from hausgeist.http.rules import host_name
from hausgeist.settings import Settings

__all__ = ["reach"]

_MOST = 4


def reach(settings: Settings) -> tuple[list[str], list[str]]:
    """By name, and by number where names are not known: those that can be told to others, and those that no client would trust.

    After the certificate was made; what it leaves out can change with every start."""
    if settings.host not in {"0.0.0.0", "::"}:  # noqa: S104
        return [], []
    hosts = list(dict.fromkeys([*map(host_name, settings.names), socket.gethostname(), *_numbers()]))
    if not settings.tls_on:
        return hosts[:_MOST], []
    covered = _covered(settings.tls_certificate or settings.home / "tls" / "server.pem")
    good = [host for host in hosts if _is_covered(host, covered)]
    return good[:_MOST], [host for host in hosts if host not in good]


def _numbers() -> list[str]:
    import psutil

    found = (one for interface in psutil.net_if_addrs().values() for one in interface if one.family == socket.AF_INET)
    return [one.address for one in found if not one.address.startswith(("127.", "169.254."))]


def _covered(path: Path) -> set[str]:
    """Names and addresses in the first certificate of a PEM file."""
    from cryptography import x509

    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
        alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, x509.ExtensionNotFound):
        return set()
    names = {name.lower() for name in alternatives.get_values_for_type(x509.DNSName)}
    return names | {str(address) for address in alternatives.get_values_for_type(x509.IPAddress)}


def _is_covered(host: str, covered: set[str]) -> bool:
    if parse_address(host) is not None:
        return str(ip_address(host)) in covered
    name = host.lower().rstrip(".")
    return name in covered or f"*.{name.partition('.')[2]}" in covered
