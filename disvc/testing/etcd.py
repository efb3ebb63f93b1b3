"""What is asked of etcd itself, by its JSON gateway.

https://etcd.io/docs/v3.6/dev-guide/api_grpc_gateway/
"""

from __future__ import annotations

import base64
from typing import Any

import urllib3

__all__ = ["EtcdError", "compact"]

# Where API servers tell each other how far one has compacted (k8s.io/apiserver/pkg/storage/etcd3).
_COMPACTED_KEY = "compact_rev_key"
_TIMEOUT_S = 30.0
_OK = 200


class EtcdError(Exception):
    """etcd did not answer, or refused; the message has the call and the answer."""


def compact(url: str) -> int:
    """Forget every state of the store but the current one, and return its revision.

    Every revision that a client can have seen before is below it.

    Args:
        url: etcd's client URL.

    Raises:
        EtcdError: etcd refused or is not there.

    """
    key = _base64(_COMPACTED_KEY)
    revision = int(_call(url, "/v3/kv/range", {"key": key})["header"]["revision"])
    for _ in range(2):  # two writes, as a watch may start at the revision after the last one seen
        put = {"key": key, "value": _base64(str(revision))}
        revision = int(_call(url, "/v3/kv/put", put)["header"]["revision"])
    _call(url, "/v3/kv/compaction", {"revision": revision, "physical": True})
    return revision


def _call(url: str, path: str, body: object) -> dict[str, Any]:
    try:
        response = urllib3.request("POST", url + path, json=body, retries=False, timeout=_TIMEOUT_S)
    except urllib3.exceptions.HTTPError as error:
        msg = f"etcd did not answer {path}: {error}; it may be stopped, look at its log"
        raise EtcdError(msg) from error
    if response.status != _OK:
        msg = f"etcd refused {path} with {response.status}: {response.data.decode(errors='replace')}"
        raise EtcdError(msg)
    decoded: dict[str, Any] = response.json()
    return decoded


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
