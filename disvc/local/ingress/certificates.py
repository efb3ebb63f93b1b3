"""Which certificate a host is served with over TLS: that of the Secret which an Ingress names."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from disvc.local.ingress.routes import followed
from disvc.runtime import Key
from disvc.testing.certificates import Authority

if TYPE_CHECKING:
    from pathlib import Path

    from disvc.local.ingress.world import Value, World

_log = structlog.get_logger("disvc.ingress")


@dataclass(frozen=True)
class Certificate:
    """A certificate, with those that lead to its authority, and its key: PEM."""

    chain: str
    key: str


def certificates(world: World) -> dict[str, Certificate]:
    """Return the certificate of each host that the Ingresses have a good one for.

    One that is missing or unusable is left out: the host gets the default one, as from ingress-nginx. The eldest
    Ingress of a host counts.
    """
    found: dict[str, Certificate] = {}
    for ingress in followed(world):
        for tls in ingress["spec"].get("tls") or ():
            key = Key(ingress["metadata"]["namespace"], tls.get("secretName") or "")
            secret = world.secret.get(key)
            if secret is None:
                continue
            try:
                certificate = of_secret(secret)
            except ValueError as error:
                _log.warning("this Secret is not served with", secret=str(key), error=str(error))
                continue
            for host in tls.get("hosts") or ():
                found.setdefault(host, certificate)
    return found


def of_secret(secret: Value) -> Certificate:
    """Return the certificate of a Secret of type kubernetes.io/tls.

    Raises `ValueError` where it does not have one, or one that is not the key's.
    """
    data = secret.get("data") or {}
    try:
        chain, key = (base64.b64decode(data[name], validate=True) for name in ("tls.crt", "tls.key"))
    except KeyError as error:
        raise ValueError(f"it has no {error.args[0]}; make it with: kubectl create secret tls") from error
    except binascii.Error as error:
        raise ValueError(f"its data is not base64: {error}") from error
    leaf = x509.load_pem_x509_certificates(chain)[0]
    if leaf.public_key() != load_pem_private_key(key, password=None).public_key():
        raise ValueError("its tls.key is not the key of its tls.crt")
    return Certificate(chain.decode(), key.decode())


def default_certificate(folder: Path) -> Certificate:
    """Return a new certificate that no client trusts, like ingress-nginx' "Fake Certificate"; uses an empty folder."""
    made = Authority("local-ingress", folder).server("default", ["ingress.local"], ["127.0.0.1"])
    return Certificate(made.cert_file.read_text(), made.key_file.read_text())
