"""Writes that the API server checks, completes and answers, and does not carry out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from disvc.runtime import Client, Resource
    from disvc.runtime.transport import Answer
    from disvc.testing.kserve.resources import Value

_HEADERS = {"Content-Type": "application/json", "Accept": "application/json"}
_TIMEOUT_SECONDS = 30.0


async def dry_run(client: Client, resource: Resource[Any], value: Value, *, exists: bool) -> Answer:
    """Return what the API server would answer to the creation of an object, or to the update of one that exists."""
    metadata = value["metadata"]
    return await client.transport.request(
        "PUT" if exists else "POST",
        resource.path(metadata["namespace"], metadata["name"] if exists else ""),
        query={"dryRun": "All"},
        headers=_HEADERS,
        body=msgspec.json.encode(resource.write(value)),
        timeout=_TIMEOUT_SECONDS,
        fence=None,
    )
