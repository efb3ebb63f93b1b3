"""What the operator's configuration says about addresses, where a DISVC does not say it itself."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class RoutingDefaults(BaseModel):
    """The cluster's way of reaching services from outside."""

    model_config = ConfigDict(frozen=True)

    domain: str = Field(default="example.com", description="domain of external hosts")
    domain_template: str = Field(
        default="{name}-{namespace}.{domain}",
        description="external host; {name}, {namespace} and {domain} are filled in",
    )
    url_scheme: str = Field(default="http", description="scheme of external URLs of services without TLS of their own")
    ingress_class: str = Field(default="", description="class of the Ingresses; empty: the cluster's default class")
    grpc_tls_secret: str = Field(
        default="grpc-tls", description="Secret with the certificate of gRPC services' external hosts"
    )
