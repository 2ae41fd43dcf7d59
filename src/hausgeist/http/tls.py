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
from hausgeist.http.doorway import Doorway
from hausgeist.http.facts import parse_address
from hausgeist.http.rules import BindingRules, own_names
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


@dataclass(frozen=True, slots=True)
class _Called:
    """Names and addresses of the server."""

    names: set[str]
    addresses: set[str]

    def within(self, authority: Certificate) -> _Called:
        """Those that the authority may certify: one name outside of its constraints would void the whole certificate."""
        from cryptography import x509

        try:
            constraints = authority.extensions.get_extension_for_class(x509.NameConstraints).value.permitted_subtrees or []
        except x509.ExtensionNotFound:
            return _Called(set(), set())
        bases = [one.value for one in constraints if isinstance(one, x509.DNSName)]
        networks = [one.value for one in constraints if isinstance(one, x509.IPAddress)]
        return _Called(
            {name for name in self.names if any(name == base or name.endswith("." + base) for base in bases)},
            {
                address
                for address in self.addresses
                if any(ip_address(address) in network for network in networks if isinstance(network, (IPv4Network, IPv6Network)))
            },
        )


class Certificates:
    """Of one start: what it is called decides what must be certified."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._folder = settings.home / "tls"
        names, addresses = _told(settings)
        self._told = _Called(names, addresses)
        self._found = _Called(names | (own_names() if not settings.loopback else set()), addresses | _interfaces(settings))

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
        context = Doorway(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_RENEGOTIATION  # under TLS 1.2 a client could have a handshake made as often as it asks
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
        called = self._found.within(authority.certificate)
        present = _load(path)
        if present is None or not _still_good(present.certificate, authority.certificate, called):
            present = _issue_server(authority, called)
            _store(path, _pem(present))
            log.info("a server certificate was made", extra={"fields": {"names": ",".join(sorted(called.names | called.addresses))}})
        return path

    def _authority(self) -> _Pair:
        path = self._folder / "ca.pem"
        present = _load(path)
        if present is None or not self._is_enough(present.certificate):
            # Also on loopback: the same home may be served to the network tomorrow, and devices trust this authority by then.
            made = _make_authority(_Called(self._found.names | own_names(), self._found.addresses))
            _store(path, _pem(made), new=present is None)
            present = _load(path) or made
        shown = _pem(present, key=False)
        if not self.authority_file.is_file() or self.authority_file.read_bytes() != shown:
            _store(self.authority_file, shown, mode=0o644)
        return present

    def _is_enough(self, authority: Certificate) -> bool:
        """Whether it lasts, and covers what the owner said that this server is called. What was merely found may change with every network
        and container: that is certified where it is covered, and never a reason for a new authority."""
        if authority.not_valid_after_utc - datetime.now(UTC) < timedelta(days=_SERVER_DAYS):
            return False
        covered = self._told.within(authority)
        outside = sorted((self._told.names - covered.names) | (self._told.addresses - covered.addresses))
        if outside:
            log.warning(
                "'%s' is beyond what the local authority may certify: a new one is made; run 'hausgeist cert export' and install it.", outside[0]
            )
        return not outside


def _make_authority(called: _Called) -> _Pair:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    names = sorted({*_LOCAL_NAMES, *called.names})
    networks = [*_LOCAL_NETWORKS, *(ip_network(one) for one in sorted(called.addresses) if not _is_local(one))]
    # The random part tells authorities apart that were made one after the other.
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Hausgeist local authority {secrets.token_hex(4)}")])
    now = datetime.now(UTC)
    permitted: list[GeneralName] = [*(x509.DNSName(name) for name in names), *(x509.IPAddress(network) for network in networks)]
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
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.NameConstraints(permitted, None), critical=True)
    )
    return _Pair(key, builder.sign(key, hashes.SHA256()))


def _issue_server(authority: _Pair, called: _Called) -> _Pair:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    alternatives: list[GeneralName] = [x509.DNSName(name) for name in sorted(called.names)]
    alternatives += [x509.IPAddress(ip_address(address)) for address in sorted(called.addresses)]
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


def _still_good(server: Certificate, authority: Certificate, called: _Called) -> bool:
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature

    if not server.not_valid_before_utc <= datetime.now(UTC) < server.not_valid_after_utc - _RENEW_BEFORE:
        return False
    try:
        server.verify_directly_issued_by(authority)
        alternatives = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (InvalidSignature, ValueError, TypeError, x509.ExtensionNotFound):
        return False
    addresses = {str(address) for address in alternatives.get_values_for_type(x509.IPAddress)}
    return called.names <= set(alternatives.get_values_for_type(x509.DNSName)) and called.addresses <= addresses


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


def _told(settings: Settings) -> tuple[set[str], set[str]]:
    """Names and addresses that the owner gave this server."""
    given = {"localhost", "127.0.0.1", "::1", *BindingRules.of(settings).names} - (own_names() - set(settings.names))
    bound = parse_address(settings.host)
    if bound is not None and not bound.is_unspecified:
        given.add(str(bound))
    addresses = {str(address) for one in given if (address := parse_address(one)) is not None}
    return {one for one in given if parse_address(one) is None}, addresses


def _interfaces(settings: Settings) -> set[str]:
    """This machine's addresses in local networks, where it listens on all of them. Public ones change too often to be certified."""
    bound = parse_address(settings.host)
    if settings.loopback or (bound is not None and not bound.is_unspecified):
        return set()
    import psutil

    found = (parse_address(one.address) for interface in psutil.net_if_addrs().values() for one in interface)
    return {str(address) for address in found if address is not None and not address.is_link_local and _is_local(str(address))}


def _is_local(address: str) -> bool:
    return any(ip_address(address) in network for network in _LOCAL_NETWORKS)


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
