"""Certificates: a local authority of this home, made on the first start that needs it, and the server certificate that it signs.

The authority may only vouch for names of a local network, for private addresses and for what this server is called: whoever installs it on a
laptop does not hand the keeper of this machine the rest of the web. A name outside of that, configured later, takes a new authority, which has
to be installed anew; that is logged. Each key lies in one file with its certificate (mode 0600), so that they are never found apart.
"""

from __future__ import annotations

import logging
import os
import secrets
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import TYPE_CHECKING

from hausgeist.errors import InvalidRequest, StoreError
from hausgeist.http.facts import parse_address
from hausgeist.http.rules import BindingRules
from hausgeist.settings import Settings

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.x509 import Certificate, GeneralName, KeyUsage

__all__ = ["Certificates"]

log = logging.getLogger(__name__)

_AUTHORITY_DAYS = 3650
_SERVER_DAYS = 365
"""Devices of Apple refuse server certificates that are valid for more than 397 days."""
_RENEW_BEFORE = timedelta(days=30)
_CLOCKS_DIFFER = timedelta(hours=24)

_LOCAL_NAMES = ("localhost", "local", "lan", "internal", "home.arpa", "home", "corp", "fritz.box")
_LOCAL_NETWORKS: tuple[IPv4Network | IPv6Network, ...] = tuple(
    ip_network(text)
    for text in (
        *("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "100.64.0.0/10"),
        *("::1/128", "fc00::/7", "fe80::/10"),
    )
)


@dataclass(frozen=True, slots=True)
class _Pair:
    """A key and its certificate."""

    key: EllipticCurvePrivateKey
    certificate: Certificate


class Certificates:
    """Of one start: what it is called decides what must be certified."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._folder = settings.home / "tls"
        rules = BindingRules.of(settings)
        found = {"localhost", *rules.names}
        self._names = sorted(name for name in found if parse_address(name) is None)
        self._addresses = sorted({"127.0.0.1", "::1", *(name for name in found if parse_address(name) is not None), *_addresses(settings)})

    @property
    def own(self) -> bool:
        """Whether the owner brought a certificate."""
        return self._settings.tls_certificate is not None

    @property
    def authority_file(self) -> Path:
        """The authority's certificate, without its key."""
        return self._folder / "ca.crt"

    def context(self) -> ssl.SSLContext:
        """For the server's sockets. Raises `InvalidRequest` for an unusable certificate of the owner's, `StoreError`."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        self.refresh(context)
        return context

    def refresh(self, context: ssl.SSLContext) -> None:
        """Load the certificate as it should be now; connections made from now on get it."""
        if self.own:
            certificate, key = self._settings.tls_certificate, self._settings.tls_key
            assert certificate is not None
            try:
                context.load_cert_chain(certificate, key)
            except (OSError, ssl.SSLError) as error:
                reason = getattr(error, "strerror", None) or error
                raise InvalidRequest(
                    f"tls_certificate = {certificate} and tls_key = {key} cannot be used: {reason}. Both are PEM files, and belong together.",
                    param="tls_certificate",
                ) from error
            return
        context.load_cert_chain(self._ensure_server())

    def export(self) -> bytes:
        """The authority's certificate (PEM), for the devices that shall trust this server; the authority is made if need be.

        Raises `InvalidRequest` where the owner brought a certificate: there is no authority of ours then."""
        from cryptography.hazmat.primitives.serialization import Encoding

        if self.own:
            raise InvalidRequest("This server uses a certificate of your own (tls_certificate); its issuer is what devices have to trust.")
        return self._authority().certificate.public_bytes(Encoding.PEM)

    def _ensure_server(self) -> Path:
        authority, path = self._authority(), self._folder / "server.pem"
        present = _load(path)
        if present is None or not self._still_good(present, authority):
            present = self._issue_server(authority)
            _store(path, _pem(present))
            log.info("a server certificate was made", extra={"fields": {"names": ",".join([*self._names, *self._addresses])}})
        return path

    def _authority(self) -> _Pair:
        path = self._folder / "ca.pem"
        present = _load(path)
        if present is not None and present.certificate.not_valid_after_utc - datetime.now(UTC) > timedelta(days=_SERVER_DAYS):
            if not (outside := self._outside(present)):
                return present
            log.warning(
                "'%s' is beyond what the local authority may certify: a new one is made; run 'hausgeist cert export' and install it.", outside
            )
        made = self._make_authority()
        _store(path, _pem(made), new=present is None)
        made = _load(path) or made
        _store(self.authority_file, _pem(made, key=False), mode=0o644)
        return made

    def _outside(self, authority: _Pair) -> str:
        """A name or address that the authority's constraints do not cover; empty: none."""
        from cryptography import x509

        constraints = authority.certificate.extensions.get_extension_for_class(x509.NameConstraints).value.permitted_subtrees or []
        names = [one.value for one in constraints if isinstance(one, x509.DNSName)]
        networks = [one.value for one in constraints if isinstance(one, x509.IPAddress)]
        for name in self._names:
            if not any(name == base or name.endswith("." + base) for base in names):
                return name
        for address in self._addresses:
            if not any(ip_address(address) in network for network in networks if isinstance(network, (IPv4Network, IPv6Network))):
                return address
        return ""

    def _make_authority(self) -> _Pair:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.x509.oid import NameOID

        key = ec.generate_private_key(ec.SECP256R1())
        names = sorted({*_LOCAL_NAMES, *self._names})
        networks = [*_LOCAL_NETWORKS, *(ip_network(one) for one in self._addresses if not any(ip_address(one) in local for local in _LOCAL_NETWORKS))]
        # The random part tells authorities apart that were made one after the other.
        label = f"Hausgeist local authority {secrets.token_hex(4)} ({self._names[0] if self._names != ['localhost'] else 'this machine'})"
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, label[:64])])
        now = datetime.now(UTC)
        identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _CLOCKS_DIFFER)
            .not_valid_after(now + timedelta(days=_AUTHORITY_DAYS))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(authority=True), critical=True)
            .add_extension(identifier, critical=False)
            .add_extension(
                x509.NameConstraints([*(x509.DNSName(name) for name in names), *(x509.IPAddress(network) for network in networks)], None),
                critical=True,
            )
        )
        return _Pair(key, builder.sign(key, hashes.SHA256()))

    def _issue_server(self, authority: _Pair) -> _Pair:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        alternatives: list[GeneralName] = [x509.DNSName(name) for name in self._names]
        alternatives += [x509.IPAddress(ip_address(address)) for address in self._addresses]
        issuer = authority.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Hausgeist server")]))
            .issuer_name(authority.certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _CLOCKS_DIFFER)
            .not_valid_after(now + timedelta(days=_SERVER_DAYS))
            .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(authority=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer), critical=False)
        )
        return _Pair(key, builder.sign(authority.key, hashes.SHA256()))

    def _still_good(self, server: _Pair, authority: _Pair) -> bool:
        from cryptography import x509
        from cryptography.exceptions import InvalidSignature

        certificate = server.certificate
        now = datetime.now(UTC)
        if not certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc - _RENEW_BEFORE:
            return False
        try:
            certificate.verify_directly_issued_by(authority.certificate)
            alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except (InvalidSignature, ValueError, TypeError, x509.ExtensionNotFound):
            return False
        addresses = {str(address) for address in alternatives.get_values_for_type(x509.IPAddress)}
        return set(self._names) <= set(alternatives.get_values_for_type(x509.DNSName)) and set(self._addresses) <= addresses


def _key_usage(*, authority: bool) -> KeyUsage:
    from cryptography.x509 import KeyUsage

    return KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _addresses(settings: Settings) -> set[str]:
    """Addresses that the server is reached at: the one it is bound to, or all of this machine's."""
    bound = parse_address(settings.host)
    if bound is not None and not bound.is_unspecified:
        return {str(bound)}
    if settings.loopback:
        return set()
    import psutil

    found = (parse_address(one.address) for interface in psutil.net_if_addrs().values() for one in interface)
    return {str(address) for address in found if address is not None and not address.is_link_local}


def _pem(pair: _Pair, *, key: bool = True) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    private = pair.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) if key else b""
    return private + pair.certificate.public_bytes(Encoding.PEM)


def _load(path: Path) -> _Pair | None:
    """What lies there, if it is a key with its certificate."""
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
    from cryptography.x509 import load_pem_x509_certificate

    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}. It belongs to the user who runs the server.") from error
    try:
        key, certificate = load_pem_private_key(data, None), load_pem_x509_certificate(data)
        if isinstance(key, EllipticCurvePrivateKey) and key.public_key() == certificate.public_key():
            return _Pair(key, certificate)
    except (ValueError, TypeError):
        pass
    log.warning("%s is damaged and is made anew", path)
    return None


def _store(path: Path, data: bytes, *, mode: int = 0o600, new: bool = False) -> None:
    """Write all or nothing. `new`: leave alone what another process has put there meanwhile."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            if new and hasattr(os, "link"):
                try:
                    os.link(draft, path)
                    return
                except FileExistsError:
                    if _load(path) is not None:
                        return
                except OSError:
                    pass  # a file system without hard links: the last one wins
            os.replace(draft, path)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror}. Free some space or check the rights of its folder.") from error
