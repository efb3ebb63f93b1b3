"""The API server itself: what comes in goes to the one who carries it out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from disvc.runtime.timestamps import metav1_time
from disvc.runtime.transport import Answer
from disvc.testing.memory import bootstrap, decoding, errors, paths, reading, reviews, routing
from disvc.testing.memory.admission import Admission
from disvc.testing.memory.answers import refusal, value_answer
from disvc.testing.memory.authorization import Attributes, Authorizer
from disvc.testing.memory.custom import CustomResources
from disvc.testing.memory.deletion import Deleter
from disvc.testing.memory.field_managers import FieldManagers
from disvc.testing.memory.garbage import GarbageCollector
from disvc.testing.memory.options import WriteOptions
from disvc.testing.memory.pod_logs import KubeletError, PodLogs
from disvc.testing.memory.pods import PodSubresources
from disvc.testing.memory.presentation import Presentation
from disvc.testing.memory.quotas import QuotaCounter
from disvc.testing.memory.registry import Registry
from disvc.testing.memory.requests import ADMIN, Call, Request, Target, User, target
from disvc.testing.memory.service_account_tokens import SERVICE_ACCOUNTS, ServiceAccountTokens
from disvc.testing.memory.store import Store
from disvc.testing.memory.transport import MemoryTransport
from disvc.testing.memory.watching import Watch
from disvc.testing.memory.webhook_reviews import WebhookError
from disvc.testing.memory.webhooks import Webhooks
from disvc.testing.memory.writing import Writer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from disvc.runtime.environment import Environment
    from disvc.runtime.transport import Stream
    from disvc.testing.memory.pod_logs import Fetch
    from disvc.testing.memory.resource import ResourceType
    from disvc.testing.memory.webhooks import Ask

    Value = dict[str, Any]

__all__ = ["APIServer"]


class APIServer:
    """Serves resources of the given types, and those of the CRDs that are created on it.

    Args:
        environment: its clock, randomness and UIDs.
        resources: what it serves from the start.
        ask: what carries reviews to admission webhooks; by default nothing does, and asking one fails.
        fetch: what carries requests for logs to kubelets; by default nothing does, and asking one fails.
        token_key: the EC key (PEM) that signs tokens of service accounts; without one there are none.

    """

    def __init__(
        self,
        environment: Environment,
        resources: Iterable[ResourceType],
        *,
        ask: Ask | None = None,
        fetch: Fetch | None = None,
        token_key: bytes = b"",
    ) -> None:
        self.environment = environment
        self.registry = Registry((*resources, *reviews.TYPES))
        self.store = Store()
        self.authorizer = Authorizer(self._rbac)
        self.tokens = ServiceAccountTokens(self.store, self.registry, environment, token_key)
        webhooks = Webhooks(self.store, self.registry, environment, ask or _ask_nobody)
        admission = Admission(self.store, self.registry, webhooks)
        self._writer = Writer(self.store, environment, FieldManagers(self.registry), admission)
        self._deleter = Deleter(self.store, environment, admission)
        self._pods = PodSubresources(self.store, self._writer, self._deleter)
        self._logs = PodLogs(self.store, self.registry, fetch or _fetch_nothing)
        self._custom = CustomResources(self.store, self.registry, environment, self._writer, self._deleter)
        self._quotas = QuotaCounter(self.store, self.registry, self._writer)
        self._garbage = GarbageCollector(self.store, self.registry, self._writer, self._deleter)
        kinds = {(each.api_version, each.kind): each for each in self.registry}
        for obj in bootstrap.objects():
            if resource := kinds.get((obj["apiVersion"], obj["kind"])):
                self._writer.seed(resource, obj)

    def transport(self, user: User = ADMIN) -> MemoryTransport:
        """Return a way to this server for a client of this process."""
        return MemoryTransport(self, user)

    async def handle(self, request: Request) -> Answer | Stream:
        """Answer a request; a watch is answered by a stream, and never raises `Refused` itself."""
        warnings: list[str] = []
        try:
            return await self._answer(request, warnings)
        except errors.Refused as refused:
            return refusal(refused, warnings)
        finally:
            self._custom.settle()

    def collect_garbage(self) -> None:
        """Delete what nobody owns any more, what is in namespaces that are being deleted, and what that leaves."""
        while self.collect_some_garbage():
            pass

    def collect_some_garbage(self) -> bool:
        """Take one step of that, as far as a controller could get at a time; return whether there was any garbage."""
        found = self._garbage.collect()
        self._custom.settle()
        return found

    def count_quotas(self) -> None:
        """Write into the status of each ResourceQuota how many objects there are."""
        self._quotas.count()

    def compact(self, revision: int = 0) -> None:
        """Forget all states before a revision, by default before the newest."""
        self.store.compact(revision or self.store.revision)

    async def _answer(self, request: Request, warnings: list[str]) -> Answer | Stream:
        asked = target(request)
        self.authorizer.check(request.user, _attributes(asked, request.path))
        types = tuple(self.registry)
        if not asked.resource:
            return paths.answer(request, types)
        resource = self.registry.find(asked.group, asked.version, asked.resource)
        if resource is None or not routing.is_served(resource, asked):
            return paths.missing(request.path, types)
        routing.check_verb(resource, asked)
        if resource.deprecation:
            warnings.append(resource.deprecation)
        call = Call(request, resource, asked.verb, asked.namespace, asked.name, asked.subresource, warnings)
        if call.subresource == "log":
            return await self._logs.get(call)
        now = self.environment.clock.now
        presentation = Presentation(request.headers.get("accept", ""), resource, request.query, now)
        answer = await self._dispatch(call)
        return presentation.answer(answer) if isinstance(answer, Answer) else presentation.stream(answer)

    async def _dispatch(self, call: Call) -> Answer | Stream:
        match call.verb:
            case "get":
                return reading.get(self.store, call)
            case "list":
                return reading.list_(self.store, call)
            case "watch":
                return Watch(self.store, call, self.environment.random)
            case "create":
                return await self._create(call)
            case "update":
                return await self._writer.update(call)
            case "patch":
                return await self._writer.patch(call)
            case "delete":
                return await self._deleter.delete(call)
            case _:
                return await self._deleter.delete_collection(call)

    async def _create(self, call: Call) -> Answer:
        if reviews.is_review(call.resource):
            return self._review(call)
        if call.resource.storage == SERVICE_ACCOUNTS and call.subresource:
            return self.tokens.create(call)
        if call.subresource:
            return await self._pods.create(call)
        return await self._writer.create(call)

    def _review(self, call: Call) -> Answer:
        options = WriteOptions.read(call.request.query, "CreateOptions")
        review = decoding.read_object(call, options.validation)
        time = metav1_time(self.environment.clock.now())
        answered = reviews.answer(review, call.namespace, call.request.user, self.authorizer, self.tokens, time)
        return value_answer(call, answered, 201)

    def _rbac(self, plural: str) -> Iterable[Value]:
        resource = self.registry.find("rbac.authorization.k8s.io", "v1", plural)
        collection = self.store.of(resource) if resource else None
        return (version.value for version in collection.at(self.store.revision, "", "")) if collection else ()


async def _ask_nobody(url: str, trusted: bytes, seconds: float, review: Value) -> NoReturn:
    raise WebhookError(f'failed to call webhook: Post "{url}": this APIServer was made without `ask`')


async def _fetch_nothing(url: str) -> NoReturn:
    raise KubeletError(f'Get "{url}": this APIServer was made without `fetch`')


def _attributes(asked: Target, path: str) -> Attributes:
    if not asked.resource:
        return Attributes(asked.verb, path=path)
    return Attributes(asked.verb, asked.group, asked.resource, asked.subresource, asked.namespace, asked.name)
