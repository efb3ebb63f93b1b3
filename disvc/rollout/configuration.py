"""What the operator's configuration says about addresses, where a DISVC does not say it itself."""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

# RFC 1123, https://kubernetes.io/docs/concepts/overview/working-with-objects/names/#dns-subdomain-names
_LABEL: Final = "[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_HOST: Final = re.compile(rf"(?=.{{1,253}}$){_LABEL}(\.{_LABEL})*")


def _domain(domain: str) -> str:
    if not _HOST.fullmatch(domain):
        raise ValueError("a domain is written in small letters, digits, - and dots, as example.com")
    return domain


def _template(template: str) -> str:
    """Refuse what cannot be filled in, and what gives all services of a namespace the same host."""
    try:
        hosts = {template.format(name=name, namespace="namespace", domain="example.com") for name in ("a", "b")}
    except (AttributeError, LookupError, ValueError, TypeError):
        hosts = set()
    if len(hosts) != 2 or not all(_HOST.fullmatch(host) for host in hosts):
        raise ValueError(
            "it gives no host of its own to each service: write it with {name}, {namespace} and {domain}, "
            "as {name}-{namespace}.{domain}"
        )
    return template


class RoutingDefaults(BaseModel):
    """The cluster's way of reaching services from outside."""

    model_config = ConfigDict(frozen=True)

    domain: Annotated[str, AfterValidator(_domain)] = Field(
        default="example.com", description="domain of external hosts"
    )
    domain_template: Annotated[str, AfterValidator(_template)] = Field(
        default="{name}-{namespace}.{domain}",
        description="external host; {name}, {namespace} and {domain} are filled in",
    )
    url_scheme: Literal["http", "https"] = Field(
        default="http", description="scheme of external URLs of services without TLS of their own"
    )
    ingress_class: str = Field(default="", description="class of the Ingresses; empty: the cluster's default class")
    grpc_tls_secret: str = Field(
        default="grpc-tls", description="Secret with the certificate of gRPC services' external hosts"
    )
