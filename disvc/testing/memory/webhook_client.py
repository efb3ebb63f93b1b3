"""Carries admission reviews to webhooks over HTTPS; for the server that runs as a process."""

from __future__ import annotations

import ssl
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import aiohttp
import msgspec

from disvc.testing.memory.go_net import dial_failure
from disvc.testing.memory.webhook_reviews import WebhookError

if TYPE_CHECKING:
    Value = dict[str, Any]

__all__ = ["ask"]


async def ask(url: str, trusted: bytes, seconds: float, review: Value) -> Any:
    """Post a review and return what came back; see `webhooks.Ask`.

    A connection is made for each, as a webhook's certificates may change at any time. Raises `WebhookError`.
    """
    tls = ssl.create_default_context(cadata=trusted.decode() or None)
    timeout = aiohttp.ClientTimeout(total=seconds)
    headers = {"content-type": "application/json", "accept": "application/json"}
    failed = f'failed to call webhook: Post "{url}"'
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(url, data=msgspec.json.encode(review), headers=headers, ssl=tls) as response,
        ):
            body = await response.read()
            if not response.ok:
                raise WebhookError(f"failed to call webhook: {_said(response.status, body)}")
            return msgspec.json.decode(body)
    except TimeoutError as error:
        raise WebhookError(f"{failed}: context deadline exceeded") from error
    except aiohttp.ClientConnectorError as error:
        raise WebhookError(f"{failed}: {dial_failure(error)}") from error
    except (aiohttp.ClientError, OSError) as error:
        raise WebhookError(f"{failed}: {error}") from error
    except ValueError as error:
        raise WebhookError(f"failed to call webhook: {error}") from error


def _said(status: int, body: bytes) -> str:
    """Return what client-go makes of an answer that is no review."""
    text = body.decode(errors="replace").strip() or "unknown"
    if status == HTTPStatus.NOT_FOUND:
        return "the server could not find the requested resource"
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return f'an error on the server ("{text}") has prevented the request from succeeding'
    return f"the server responded with the status code {status} but did not return more information"
