"""The group admissionregistration.k8s.io, v1: which webhooks are asked about what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from disvc.testing.memory import causes, formats
from disvc.testing.memory.builtin.columns.others import WEBHOOKS
from disvc.testing.memory.builtin.strategy import BuiltinStrategy, kind
from disvc.testing.memory.builtin.validation.fields import formatted, label_selector
from disvc.testing.memory.causes import child, item

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from disvc.testing.memory.errors import Cause

    Value = dict[str, Any]

__all__ = ["TYPES"]

_GROUP: Final = "admissionregistration.k8s.io"
_ENUMERATIONS: Final = {
    "failurePolicy": ("Fail", "Ignore"),
    "matchPolicy": ("Equivalent", "Exact"),
    "sideEffects": ("None", "NoneOnDryRun"),
    "reinvocationPolicy": ("IfNeeded", "Never"),
}
_OPERATIONS: Final = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
_SCOPES: Final = ("*", "Cluster", "Namespaced")
_REVIEWS: Final = ("v1", "v1beta1")
_OTHERS: Final = {"apiGroups": "API groups", "apiVersions": "API versions", "operations": "operations"}
_URL_FORM: Final = "; desired format: https://host[/path]"


class _WebhookConfiguration(BuiltinStrategy):
    def validate(self, obj: Value, old: Value | None, subresource: str) -> Sequence[Cause]:
        return list(_webhooks(obj.get("webhooks", [])))


def _webhooks(webhooks: list[Value]) -> Iterator[Cause]:
    names: set[str] = set()
    for index, webhook in enumerate(webhooks):
        path = item("webhooks", index)
        yield from _webhook(path, webhook)
        yield from _review_versions(child(path, "admissionReviewVersions"), webhook["admissionReviewVersions"] or [])
        if webhook["name"] and webhook["name"] in names:
            yield causes.duplicate(child(path, "name"), webhook["name"])
        names.add(webhook["name"])


def _webhook(path: str, webhook: Value) -> Iterator[Cause]:
    yield from _name(child(path, "name"), webhook["name"])
    for index, rule in enumerate(webhook.get("rules", ())):
        yield from _rule(item(child(path, "rules"), index), rule)
    for name in ("failurePolicy", "matchPolicy", "sideEffects"):
        yield from _enumerated(path, webhook, name)
    if not 1 <= webhook["timeoutSeconds"] <= 30:
        why = "the timeout value must be between 1 and 30 seconds"
        yield causes.invalid(child(path, "timeoutSeconds"), webhook["timeoutSeconds"], why)
    for name in ("namespaceSelector", "objectSelector"):
        yield from label_selector(child(path, name), webhook[name])
    yield from _enumerated(path, webhook, "reinvocationPolicy")
    yield from _client(child(path, "clientConfig"), webhook["clientConfig"])


def _name(path: str, name: str) -> Iterator[Cause]:
    if not name:
        yield causes.required(path)
    elif messages := formats.dns_subdomain(name):
        yield causes.invalid(path, name, ",".join(messages))
    elif name.count(".") < 2:
        yield causes.invalid(path, name, "should be a domain with at least three segments separated by dots")


def _enumerated(path: str, webhook: Value, name: str) -> Iterator[Cause]:
    if name not in webhook:
        return
    supported = _ENUMERATIONS[name]
    if webhook[name] is None:
        yield causes.required(child(path, name), f"must specify one of {', '.join(supported)}")
    elif webhook[name] not in supported:
        yield causes.not_supported(child(path, name), webhook[name], supported)


def _rule(path: str, rule: Value) -> Iterator[Cause]:
    yield from _not_with_others(path, rule, "operations")
    for index, operation in enumerate(rule.get("operations", ())):
        if operation not in _OPERATIONS:
            yield causes.not_supported(item(child(path, "operations"), index), operation, _OPERATIONS)
    yield from _not_with_others(path, rule, "apiGroups")
    yield from _not_with_others(path, rule, "apiVersions")
    if not rule.get("resources"):
        yield causes.required(child(path, "resources"))
    for name in ("apiVersions", "resources"):
        for index, text in enumerate(rule.get(name, ())):
            if not text:
                yield causes.required(item(child(path, name), index))
    if "*/*" in rule.get("resources", ()) and len(rule["resources"]) > 1:
        why = "if '*/*' is present, must not specify other resources"
        yield causes.invalid(child(path, "resources"), rule["resources"], why)
    if rule["scope"] not in _SCOPES:
        yield causes.not_supported(child(path, "scope"), rule["scope"], _SCOPES)


def _not_with_others(path: str, rule: Value, name: str) -> Iterator[Cause]:
    """Check a list in which `*` stands for all there are."""
    given = rule.get(name, [])
    if not given:
        yield causes.required(child(path, name))
    if len(given) > 1 and "*" in given:
        why = f"if '*' is present, must not specify other {_OTHERS[name]}"
        yield causes.invalid(child(path, name), given, why)


def _client(path: str, client: Value) -> Iterator[Cause]:
    if ("url" in client) == ("service" in client):
        yield causes.required(path, "exactly one of url or service is required")
    elif "url" in client:
        yield from _url(child(path, "url"), client["url"])
    else:
        yield from _service(child(path, "service"), client["service"])


def _service(path: str, service: Value) -> Iterator[Cause]:
    # The server says name of the namespace, and namespace of the name.
    for name, other in (("name", "namespace"), ("namespace", "name")):
        if not service[other]:
            yield causes.required(child(path, name))
    if messages := formats.port_number(service["port"]):
        why = f"port is not valid: {', '.join(messages)}"
        yield causes.invalid(child(path, "port"), service["port"], why)
    yield from formatted(child(path, "path"), service.get("path", "/"), _wrong_in_path)


def _wrong_in_path(path: str) -> Iterator[str]:
    if path in {"", "/"}:
        return
    if not path.startswith("/"):
        yield "must start with a '/'"
    for index, segment in enumerate(path[1:].removesuffix("/").split("/")):
        if segment:
            yield from (f"segment[{index}]: {message}" for message in formats.dns_subdomain(segment))
        else:
            yield f"segment[{index}] may not be empty"


def _url(path: str, url: str) -> Iterator[Cause]:
    parts = urlsplit(url)
    if parts.scheme != "https":
        yield causes.invalid(path, parts.scheme, f"'https' is the only allowed URL scheme{_URL_FORM}")
    if not parts.hostname:
        yield causes.invalid(path, "", f"host must be specified{_URL_FORM}")
    if user := parts.netloc.rpartition("@")[0]:
        yield causes.invalid(path, user, "user information is not permitted in the URL")
    if parts.fragment:
        yield causes.invalid(path, parts.fragment, "fragments are not permitted in the URL")
    if parts.query:
        yield causes.invalid(path, parts.query, "query parameters are not permitted in the URL")


def _review_versions(path: str, versions: list[str]) -> Iterator[Cause]:
    if not versions:
        yield causes.required(path, f"must specify one of {', '.join(_REVIEWS)}")
        return
    for index, version in enumerate(versions):
        if version in versions[:index]:
            yield causes.invalid(item(path, index), version, "duplicate version")
        else:
            yield from formatted(item(path, index), version, formats.dns_1035_label)
    if not any(version in _REVIEWS for version in versions):
        yield causes.invalid(path, versions, f"must include at least one of {', '.join(_REVIEWS)}")


def _followed(obj: Value) -> object:
    return obj.get("webhooks")


TYPES: Final = tuple(
    kind(
        _GROUP,
        "v1",
        name,
        f"{name.lower()}s",
        _WebhookConfiguration,
        namespaced=False,
        categories=("api-extensions",),
        generation_follows=_followed,
        allows_unconditional_update=False,
        columns=WEBHOOKS,
    )
    for name in ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")
)
