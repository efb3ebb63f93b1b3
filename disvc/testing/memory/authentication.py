"""Who sends a request over HTTP: by a client certificate, a front proxy's headers, or a service account's token.

As in a kube-apiserver (https://kubernetes.io/docs/reference/access-authn-authz/authentication/): a certificate's CN is
the user and its O are the groups; a holder of the front proxy's certificate names the user in headers; who sends none
of them is anonymous. A user who may impersonate others does so by the headers `Impersonate-…`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from cryptography import x509
from cryptography.x509.oid import NameOID

from disvc.testing.memory.authorization import ANONYMOUS, Attributes
from disvc.testing.memory.errors import Refused
from disvc.testing.memory.requests import User
from disvc.testing.memory.service_account_tokens import BadToken, groups_of_service_account

if TYPE_CHECKING:
    from multidict import CIMultiDictProxy

    from disvc.testing.memory.authorization import Authorizer
    from disvc.testing.memory.service_account_tokens import ServiceAccountTokens

    Headers = CIMultiDictProxy[str]
    Value = dict[str, Any]

__all__ = ["Authenticator", "Certificate", "common_name", "impersonated"]

_AUTHENTICATED: Final = "system:authenticated"
_UNAUTHENTICATED: Final = "system:unauthenticated"
_SERVICE_ACCOUNT: Final = "system:serviceaccount:"
_CREDENTIAL: Final = "authentication.kubernetes.io/credential-id"


@dataclass(frozen=True)
class Certificate:
    """A client certificate that TLS has verified."""

    issuer: str
    """The CN of the authority that signed it."""
    name: str
    groups: tuple[str, ...]
    fingerprint: str
    """The SHA-256 of the certificate, in hexadecimal digits."""

    @classmethod
    def read(cls, decoded: Value, der: bytes) -> Certificate:
        """Read it as Python's ssl gives it (`SSLSocket.getpeercert`)."""
        subject = [pair for part in decoded["subject"] for pair in part]
        issuer = dict(pair for part in decoded["issuer"] for pair in part)
        groups = tuple(value for name, value in subject if name == "organizationName")
        return cls(issuer["commonName"], dict(subject)["commonName"], groups, hashlib.sha256(der).hexdigest())


@dataclass(frozen=True)
class Authenticator:
    """Tells the user of a request.

    Args:
        proxy_authority: the CN of the authority of front proxies.
        proxy_name: the CN of the front proxy.
        tokens: tells whose token it is.

    """

    proxy_authority: str
    proxy_name: str
    tokens: ServiceAccountTokens

    def user(self, certificate: Certificate | None, headers: Headers) -> User:
        """Return who sent a request. Raises `Refused` (401) for credentials that are none."""
        if certificate is not None and certificate.issuer == self.proxy_authority:
            return self._proxied(certificate, headers)
        if certificate is not None:
            extra = {_CREDENTIAL: (f"X509SHA256={certificate.fingerprint}",)}
            return User(certificate.name, _with_authenticated(certificate.groups), extra=extra)
        scheme, _, token = headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer" and token:
            return self._service_account(token.strip())
        return ANONYMOUS

    def _proxied(self, certificate: Certificate, headers: Headers) -> User:
        name = headers.get("X-Remote-User", "")
        if certificate.name != self.proxy_name or not name:
            raise _unauthorized()
        groups = _with_authenticated(tuple(headers.getall("X-Remote-Group", ())))
        return User(name, groups, extra=_extra(headers, "X-Remote-Extra-"))

    def _service_account(self, token: str) -> User:
        try:
            return self.tokens.user(token)[0]
        except BadToken as error:
            raise _unauthorized() from error


def common_name(pem: bytes) -> str:
    """Return the CN of a certificate's subject."""
    (name,) = x509.load_pem_x509_certificate(pem).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(name.value)


def impersonated(user: User, headers: Headers, authorizer: Authorizer) -> User:
    """Return for whom a user acts: itself, but for the headers `Impersonate-…`.

    Raises:
        Refused: 400, a user is not named; 403, the user may not act for that one.

    """
    name = headers.get("Impersonate-User", "")
    groups = tuple(headers.getall("Impersonate-Group", ()))
    extra = _extra(headers, "Impersonate-Extra-")
    if not name:
        if groups or extra:
            raise Refused(400, "BadRequest", "requested impersonation of groups or extra without impersonating a user")
        return user
    service_account = name.removeprefix(_SERVICE_ACCOUNT).split(":") if name.startswith(_SERVICE_ACCOUNT) else []
    if len(service_account) == 2:
        namespace, account = service_account
        asked = [Attributes("impersonate", resource="serviceaccounts", namespace=namespace, name=account)]
        groups = groups or groups_of_service_account(namespace)
    else:
        asked = [Attributes("impersonate", resource="users", name=name)]
    asked += [
        Attributes("impersonate", resource="groups", name=group) for group in headers.getall("Impersonate-Group", ())
    ]
    asked += [
        Attributes("impersonate", "authentication.k8s.io", "userextras", key, name=value)
        for key, values in extra.items()
        for value in values
    ]
    for attributes in asked:
        authorizer.check(user, attributes)
    if name != ANONYMOUS.name:
        return User(name, _with_authenticated(groups), extra=extra)
    return User(name, groups if _UNAUTHENTICATED in groups else (*groups, _UNAUTHENTICATED), extra=extra)


def _with_authenticated(groups: tuple[str, ...]) -> tuple[str, ...]:
    return groups if {_AUTHENTICATED, _UNAUTHENTICATED} & {*groups} else (*groups, _AUTHENTICATED)


def _extra(headers: Headers, prefix: str) -> dict[str, tuple[str, ...]]:
    names = {name.lower() for name in headers if name.lower().startswith(prefix.lower())}
    return {name.removeprefix(prefix.lower()): tuple(headers.getall(name)) for name in sorted(names)}


def _unauthorized() -> Refused:
    return Refused(401, "Unauthorized", "Unauthorized")
