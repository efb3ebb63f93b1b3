"""ConfigMaps, Secrets, Leases and ControllerRevisions."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Any

from differential.kinds.kind import Kind, chance, some

if TYPE_CHECKING:
    from random import Random

    Value = dict[str, Any]

__all__ = ["CONFIG_MAP", "LEASE", "REVISION", "SECRET"]

_KEYS = ("a", "b", "c.txt", "D_e")


def _texts(random: Random) -> Value:
    data = {key: random.choice(("", "1", "two", "l1\nl2")) for key in random.sample(_KEYS, random.randint(0, 3))}
    if chance(random, 0.03):
        data["bad key"] = "x"
    return data


def _binary(random: Random) -> Value:
    return {key: b64encode(key.encode() * random.randint(1, 3)).decode() for key in random.sample(("x", "y", "a"), 1)}


def _config_map(random: Random) -> Value:
    return some(random, data=_texts, binaryData=_binary)


_SECRET_TYPES = ("Opaque", "Opaque", "example.com/any", "kubernetes.io/basic-auth", "kubernetes.io/tls")


def _secret(random: Random) -> Value:
    content = some(random, stringData=_texts, data=_binary)
    if chance(random, 0.2):
        content["type"] = random.choice(_SECRET_TYPES)
    return content


def _time(random: Random) -> str:
    return f"2019-0{random.randint(1, 9)}-02T03:04:05.00000{random.randint(0, 9)}Z"


def _lease(random: Random) -> Value:
    return {
        "spec": some(
            random,
            holderIdentity=lambda r: r.choice(("me", "you", "")),
            leaseDurationSeconds=lambda r: r.choice((15, 30, 1, 0, -1) if chance(r, 0.2) else (15, 30)),
            acquireTime=_time,
            renewTime=_time,
            leaseTransitions=lambda r: r.choice((0, 1, 7)),
        )
    }


def _revision(random: Random) -> Value:
    content: Value = {"revision": random.randint(1, 5) if chance(random, 0.9) else -1}
    if chance(random, 0.9):
        content["data"] = random.choice(({"a": 1}, {"spec": {"x": [1, "2", None]}}, {"b": {"c": 1.5}}))
    return content


CONFIG_MAP = Kind("v1", "ConfigMap", "configmaps", _config_map)
SECRET = Kind("v1", "Secret", "secrets", _secret, field_selectors=("type=Opaque", "type!=Opaque"))
LEASE = Kind("coordination.k8s.io/v1", "Lease", "leases", _lease)
REVISION = Kind("apps/v1", "ControllerRevision", "controllerrevisions", _revision)
