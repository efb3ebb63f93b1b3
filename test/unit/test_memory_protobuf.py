"""Bodies in protobuf, as kubectl's typed clients send them; what a real server writes is in test/integration."""

from __future__ import annotations

import base64

import msgspec
import pytest

from disvc.runtime.environment import Environment
from disvc.runtime.transport import Answer
from disvc.testing.memory import APIServer
from disvc.testing.memory.builtin import TYPES
from disvc.testing.memory.protobuf import decode
from disvc.testing.memory.requests import Request

# What a kube-apiserver answered of a Secret.
SECRET = base64.b64decode(
    "azhzAAoMCgJ2MRIGU2VjcmV0ErwBCqkBCgJzMRIAGgdkZWZhdWx0IgAqJGJlNGUxNWM4LTI4YjEtNDlmMS04MTI0LTQ2OTRjYjkzZDRlODIDNDk0"
    "OABCCAj5uKHYBhAAigFeCg5rdWJlY3RsLWNyZWF0ZRIGVXBkYXRlGgJ2MSIICPm4odgGEAAyCEZpZWxkc1YxOioKKHsiZjpkYXRhIjp7Ii4iOnt9"
    "LCJmOmsiOnt9fSwiZjp0eXBlIjp7fX1CABIGCgFrEgF2GgZPcGFxdWUaACIA"
)
PROTOBUF = {"content-type": "application/vnd.kubernetes.protobuf"}


def test_an_object_is_read_with_its_kind() -> None:
    secret = decode(SECRET)
    assert (secret["apiVersion"], secret["kind"], secret["type"]) == ("v1", "Secret", "Opaque")
    assert secret["data"] == {"k": base64.b64encode(b"v").decode()}
    assert secret["metadata"]["creationTimestamp"] == "2026-11-26T16:21:13Z"
    assert secret["metadata"]["managedFields"][0]["fieldsV1"] == {"f:data": {".": {}, "f:k": {}}, "f:type": {}}


async def test_it_is_created_as_if_it_were_json() -> None:
    server = APIServer(Environment(), TYPES)
    # Without metadata.resourceVersion, which a new object must not have.
    body = SECRET.replace(b"2\x03494", b"2\x00").replace(b"\x12\xbc\x01\n\xa9\x01", b"\x12\xb9\x01\n\xa6\x01")
    answer = await server.handle(Request("POST", "/api/v1/namespaces/default/secrets", {}, PROTOBUF, body))
    assert isinstance(answer, Answer)
    assert answer.status == 201, answer.body
    created = msgspec.json.decode(answer.body)
    assert created["data"] == {"k": "dg=="}
    assert "generateName" not in created["metadata"]  # empty in protobuf is absent in JSON


def field(number: int, content: bytes) -> bytes:
    """Return a field of a message that is a message, or a text."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    return bytes([number & 127 | 128]) + _varint(number >> 7) if number > 127 else bytes([number])


def nested_definition(levels: int) -> bytes:
    """Return a CustomResourceDefinition with a schema that says `not`, so often."""
    schema = b""
    for _ in range(levels):
        schema = field(28, schema)
    definition = field(2, field(7, field(4, field(1, schema))))
    meta = field(1, b"apiextensions.k8s.io/v1") + field(2, b"CustomResourceDefinition")
    return b"k8s\x00" + field(1, meta) + field(2, definition)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{}", "does not start as Kubernetes' protobuf does"),
        (b"k8s\x00\xff\xff", "."),
        (SECRET.replace(b"Secret", b"Secrex"), "no built-in type"),
        (nested_definition(5_000), "^proto: exceeded max depth$"),
    ],
)
def test_what_is_none_is_told(body: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        decode(body)
