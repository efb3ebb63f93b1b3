"""Signs service account tokens with a truly short life; TokenRequest gives none under ten minutes."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING

import jwt

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["ISSUER", "sign_token"]

ISSUER = "https://kubernetes.default.svc.cluster.local"
"""What the API server knows as its own issuer of tokens, and as its audience."""

# The server validates with go-jose's default leeway (k8s.io/kubernetes/pkg/serviceaccount/claims.go).
_LEEWAY_S = 60.0


def sign_token(key_file: Path, namespace: str, name: str, uid: str, lifetime_s: float) -> str:
    """Return a token of the service account that the API server refuses after `lifetime_s` seconds.

    The server allows for a minute of clock skew. So `exp` is a minute before the end, and may be in the past.
    """
    now = time.time()
    claims = {
        "iss": ISSUER,
        "aud": [ISSUER],
        "sub": f"system:serviceaccount:{namespace}:{name}",
        "iat": int(now - _LEEWAY_S),
        "nbf": int(now - _LEEWAY_S),
        "exp": int(now - _LEEWAY_S + lifetime_s),
        "jti": str(uuid.uuid4()),
        "kubernetes.io": {"namespace": namespace, "serviceaccount": {"name": name, "uid": uid}},
    }
    return jwt.encode(claims, key_file.read_bytes(), algorithm="ES256")
