"""Shared informers: one reflector and one cache for all who want to know of the same objects.

    server ──reflector──► Informer ──► cache                    (read by reconcilers)
                             ▲   └───► each handler's own line  (a slow one delays nobody else)
       own writes ───────────┘

What it promises:
- A handler gets each change that it has not seen as a `Delta`, an object's changes in their order, and first of
  all what is there already. It may be added and removed at any time; the last user leaving stops the reflector.
- The cache never goes back: what is older than what it holds, or was deleted by this process, is ignored.
- Reads after own writes: a `Client` whose observer is `Informers` puts each answer to a write into the cache
  before the writer sees it. Where the answer was lost, `settled()` waits until the object was looked up.
- A handler that raises is reported with the key, and gets that object's change again, with back-off: by itself,
  or as soon as something newer happens to the object, as one change with that. A deletion is never left out.
- An object that was deleted and made again while nobody looked is a deletion and an addition, as the UID tells.
"""

from __future__ import annotations

import asyncio
import inspect
from collections import deque
from itertools import takewhile
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

import structlog

from disvc.runtime.backoff import Backoff
from disvc.runtime.cache import Cache, Store
from disvc.runtime.errors import (
    Forbidden,
    NotFound,
    RuntimeFailure,
    ServerError,
    TooManyRequests,
    TransportError,
    Unauthorized,
)
from disvc.runtime.reflector import IDLE_SECONDS, Reflector

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from disvc.runtime.client import Client
    from disvc.runtime.metrics import Metrics
    from disvc.runtime.objects import Key, Object, Resource
    from disvc.runtime.selection import Selection

T = TypeVar("T")

_FOREVER = 1 << 63
_OLD_NEWS_KEPT_SECONDS = 600.0
_LINE_STRIDE = 200
"""After so many deltas a handler's line lets others run."""

_log = structlog.get_logger("disvc.informer")


class Delta(NamedTuple, Generic[T]):
    """What happened to one object: `old` is None where it is new, `new` is None where it is gone.

    `old` of a deletion is the last state that is known. `initial`: it was there before the handler was.
    """

    old: Object[T] | None
    new: Object[T] | None
    initial: bool = False

    @property
    def object(self) -> Object[T]:
        """Return the newest state that is known."""
        latest = self.new or self.old
        assert latest is not None
        return latest

    @property
    def is_news(self) -> bool:
        """Whether something happened just now: not for the initial state, nor for a resync."""
        return not self.initial and self.old is not self.new


class _Failed(NamedTuple, Generic[T]):
    """What a handler has failed to take in of one object: changes that it is to get again, in their order."""

    deltas: list[Delta[T]]
    backoff: Backoff
    timer: asyncio.TimerHandle


class Subscription(Generic[T]):
    """A handler's place at an informer; without a handler it only keeps the informer running."""

    def __init__(self, informer: Informer[T], handler: Callable[[Delta[T]], Any] | None, name: str) -> None:
        self._informer = informer
        self._handler = handler
        self._name = name
        # A key: what failed of this object is to be tried again. None: the initial state ends here.
        self._line: deque[Delta[T] | Key | None] = deque()
        self._wake = asyncio.Event()
        self._synced = asyncio.Event()
        self._failed: dict[Key, _Failed[T]] = {}

    @property
    def has_synced(self) -> bool:
        """Whether the handler has seen all that was there at the start."""
        return self._synced.is_set()

    async def synced(self) -> None:
        """Wait until the handler has seen all that was there at the start."""
        await self._synced.wait()

    @property
    def cache(self) -> Cache[T]:
        """Return the informer's cache; it is kept up to date while this subscription lasts."""
        return self._informer.cache

    async def remove(self) -> None:
        """End the subscription; the informer stops with its last one. The handler is not called any more."""
        await self._informer._leave(self)

    def put(self, deltas: Iterable[Delta[T] | Key | None]) -> None:
        """Add to the handler's line."""
        if self._handler is not None:
            self._line.extend(deltas)
            self._wake.set()

    def end_of_initial(self) -> None:
        """Mark the place in the line where the initial state ends."""
        if self._handler is None:
            self._synced.set()
        self.put([None])

    async def deliver(self) -> None:
        """Call the handler with what is in its line, until cancelled."""
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                done = 0
                while self._line:
                    item = self._line.popleft()
                    if item is None:
                        self._synced.set()
                    elif isinstance(item, Delta):
                        await self._call(item)
                    elif item in self._failed:
                        await self._call_again(item, self._failed[item].deltas)
                    done += 1
                    if done % _LINE_STRIDE == 0:
                        await asyncio.sleep(0)
        finally:
            for failed in self._failed.values():
                failed.timer.cancel()

    async def _call(self, delta: Delta[T]) -> None:
        if self._failed:
            failed = self._failed.get(delta.object.key)
            if failed is not None:
                await self._call_again(delta.object.key, _joined(failed.deltas, delta))
                return
        if not await self._succeeds(delta):
            self._try_again(delta.object.key, [delta])

    async def _call_again(self, key: Key, deltas: list[Delta[T]]) -> None:
        for position, delta in enumerate(deltas):
            if not await self._succeeds(delta):
                self._try_again(key, deltas[position:])
                return
        self._failed.pop(key).timer.cancel()

    async def _succeeds(self, delta: Delta[T]) -> bool:
        assert self._handler is not None
        try:
            result = self._handler(delta)
            if inspect.isawaitable(result):
                await result
                if _is_being_cancelled():  # the handler has ended its own subscription
                    raise asyncio.CancelledError
        except (Exception, asyncio.CancelledError) as error:
            if isinstance(error, asyncio.CancelledError) and _is_being_cancelled():
                raise
            self._informer.count_handler_error(self._name)
            _log.exception("event handler failed; it gets this again", handler=self._name, object=repr(delta.object))
            return False
        return True

    def _try_again(self, key: Key, deltas: list[Delta[T]]) -> None:
        failed = self._failed.get(key)
        if failed is None:
            backoff = Backoff(self._informer.random, base=0.2, cap=30.0)
        else:
            failed.timer.cancel()
            backoff = failed.backoff
        timer = asyncio.get_running_loop().call_later(backoff.next(), self.put, (key,))
        self._failed[key] = _Failed(deltas, backoff, timer)


def _joined(failed: list[Delta[T]], newer: Delta[T]) -> list[Delta[T]]:
    """Return what a handler is to get that has failed and for which there is something newer about the object.

    Two changes of one life of the object become one; a deletion stands for itself, as does what follows on it.
    """
    last = failed[-1]
    if last.new is None or newer.old is None:
        return [*failed, newer]
    old = newer.old if newer.new is None else last.old
    return [*failed[:-1], Delta(old, newer.new, last.initial and not newer.is_news)]


def _is_being_cancelled() -> bool:
    """Whether a `CancelledError` is meant for the running task, and not for something that it waits for."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


class Informer(Generic[T]):
    """One selection's cache and handlers, and the reflectors that feed them: one for each namespace."""

    def __init__(
        self,
        client: Client,
        selection: Selection[T],
        metrics: Metrics,
        *,
        idle_seconds: float,
        resync_seconds: float,
    ) -> None:
        self.selection = selection
        self.random = client.environment.random
        self._store: Store[T] = Store()
        self._client = client
        self._metrics = metrics
        self._resync_seconds = resync_seconds
        self._clock = client.environment.clock
        self._subscriptions: dict[Subscription[T], asyncio.Task[None] | None] = {}
        self._unsynced = set(selection.namespaces or ("",))
        self.synced = asyncio.Event()
        """Set once the cache has held the server's whole state, or nobody is interested in it any more."""
        self._uncertain: dict[Key, asyncio.Task[None]] = {}
        # What own writes took out of the cache: up to which version events of a key, or of the UID of an object
        # that this process has deleted, are old news; and since when this is known.
        self._old_news: dict[Key | str, tuple[int, float]] = {}
        self._group: asyncio.TaskGroup | None = None
        self._main: asyncio.Task[None] | None = None
        self.stopping = False
        self._reflector_metrics = [
            metrics.reflector(str(selection), namespace) for namespace in selection.namespaces or ("",)
        ]
        self._reflectors = {
            namespace: Reflector(client, selection, namespace, self, own_metrics, idle_seconds=idle_seconds)
            for namespace, own_metrics in zip(selection.namespaces or ("",), self._reflector_metrics, strict=True)
        }

    @property
    def cache(self) -> Cache[T]:
        """Return what is known of the selection's objects."""
        return self._store

    @property
    def too_silent(self) -> bool:
        """Whether a watch has been silent for so long that the cache may be out of date."""
        return any(reflector.too_silent for reflector in self._reflectors.values())

    def subscribe(self, handler: Callable[[Delta[T]], Any] | None, name: str) -> Subscription[T]:
        """Add a handler, which may be a coroutine function; it begins with what the cache holds."""
        subscription = Subscription(self, handler, name)
        self._subscriptions[subscription] = None
        subscription.put([Delta(None, obj, initial=True) for obj in self._store])
        if self.synced.is_set():
            subscription.end_of_initial()
        if self._group is not None:
            self._begin(subscription)
        return subscription

    def _begin(self, subscription: Subscription[T]) -> None:
        assert self._group is not None
        if subscription._handler is not None:
            task = self._group.create_task(subscription.deliver(), name=f"handler {subscription._name}")
            self._subscriptions[subscription] = task

    async def _leave(self, subscription: Subscription[T]) -> None:
        task = self._subscriptions.pop(subscription, None)
        if task is not None and task is not asyncio.current_task():
            task.cancel()
            await asyncio.wait([task])
        elif task is not None:
            task.cancel()
        if not self._subscriptions:
            self._stop()

    def _stop(self) -> None:
        if not self.stopping:
            self.stopping = True
            self.synced.set()
            for own_metrics in self._reflector_metrics:
                own_metrics.remove()
            if self._main is not None:
                self._main.cancel()

    async def run(self) -> None:
        """Reflect and deliver until cancelled or the last subscription leaves."""
        if self.stopping:
            return  # it left before this began
        self._main = asyncio.current_task()
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                for subscription in self._subscriptions:
                    self._begin(subscription)
                for namespace, reflector in self._reflectors.items():
                    group.create_task(reflector.run(), name=f"reflector {self.selection} {namespace}".rstrip())
                if self._resync_seconds:
                    group.create_task(self._resync(), name=f"resync {self.selection}")
        except asyncio.CancelledError:
            if not self.stopping:
                raise
        finally:
            self._group = None
            self._stop()

    async def _resync(self) -> None:
        while True:
            # Spread, so that the resyncs of many informers do not come together.
            await asyncio.sleep(self._resync_seconds * self.random.uniform(0.9, 1.1))
            self._tell([Delta(obj, obj) for obj in self._store])

    def _tell(self, deltas: list[Delta[T]]) -> None:
        for subscription in self._subscriptions:
            subscription.put(deltas)

    def count_handler_error(self, name: str) -> None:
        """Count an exception that a handler raised."""
        self._metrics.handler_errors.labels(name).inc()

    # What the reflectors say.

    def replace(self, namespace: str, objects: list[Object[T]], version: str) -> None:
        """Take a list for all the objects of the namespace; see `reflector.Sink`."""
        at = int(version) if version.isdecimal() else _FOREVER
        initial = namespace in self._unsynced
        listed = {obj.key for obj in objects}
        for old in self._store.list(namespace or None):
            # What is newer than the list is an own write that the list does not show yet.
            if old.key not in listed and old.version <= at:
                self._remove(old.key, old)
        for obj in objects:
            self.changed(obj, initial=initial)
        if self._unsynced:
            self._unsynced.discard(namespace)
            if not self._unsynced:
                self.synced.set()
                for subscription in self._subscriptions:
                    subscription.end_of_initial()

    def changed(self, obj: Object[T], *, initial: bool = False) -> None:
        """Take in an object that was added or modified; see `reflector.Sink`."""
        if self._old_news and self._is_old_news(obj):
            return
        key = obj.key
        old = self._store.get(key)
        if old is not None:
            if 0 < obj.version <= old.version:
                return
            if old.metadata.uid != obj.metadata.uid:
                self._remove(key, old)
                old = None
        self._store.put(obj)
        self._tell([Delta(old, obj, initial)])

    def deleted(self, obj: Object[T]) -> None:
        """Take out an object, whose last state this was; see `reflector.Sink`."""
        old = self._store.get(obj.key)
        if old is not None and not 0 < obj.version < old.version:
            self._remove(obj.key, obj)

    def _remove(self, key: Key, last: Object[T]) -> None:
        self._store.remove(key)
        self._tell([Delta(last, None)])

    def _is_old_news(self, obj: Object[T]) -> bool:
        known = (self._old_news.get(obj.key), self._old_news.get(obj.metadata.uid))
        return any(until is not None and obj.version <= until[0] for until in known)

    def _note_old_news(self, what: Key | str, version: int) -> None:
        now = self._clock.monotonic()
        # The oldest come first; whoever looks at all of them at each deletion is slow when there are many.
        expired = takewhile(lambda note: now - note[1][1] > _OLD_NEWS_KEPT_SECONDS, self._old_news.items())
        for older, _ in list(expired):
            del self._old_news[older]
        known, _ = self._old_news.pop(what, (0, now))
        self._old_news[what] = (max(version, known), now)

    # What this process's own writes say.

    def wrote(self, obj: Object[Any]) -> None:
        """Take in the answer to an own write, unless the watch is past it already."""
        namespace = obj.metadata.namespace if self.selection.namespaces else ""
        reflector = self._reflectors.get(namespace)
        if reflector is None or (reflector.version.isdecimal() and int(reflector.version) >= obj.version):
            return
        same = obj.resource == self.selection.resource and self.selection.transform is None
        mine: Object[T] = obj if same else self.selection.read(obj.raw)
        if self.selection.holds(obj):
            self.changed(mine)
            return
        if mine.version:
            self._note_old_news(mine.key, mine.version)
        old = self._store.get(mine.key)
        if old is not None and old.version < mine.version:
            self._remove(mine.key, mine if old.metadata.uid == mine.metadata.uid else old)

    def wrote_delete(self, key: Key, uid: str) -> None:
        """Take out an object that this process has deleted."""
        old = self._store.get(key)
        if uid:
            self._note_old_news(uid, _FOREVER)
            if old is None:
                return
            if old.metadata.uid == uid:
                if old.version:
                    self._note_old_news(key, old.version)
                self._remove(key, old)
                return
        # Which object it was, or whether what is here came before or after it, only the server can tell.
        self.uncertain(key)

    def uncertain(self, key: Key) -> None:
        """Look up an object, as an own write to it may or may not have taken effect."""
        if self._group is None or (self.selection.namespaces and key.namespace not in self.selection.namespaces):
            return
        earlier = self._uncertain.pop(key, None)
        if earlier is not None:
            earlier.cancel()
        task = self._group.create_task(self._look_up(key), name=f"look up {self.selection.resource} {key}")
        self._uncertain[key] = task

        def forget(_: asyncio.Task[None]) -> None:
            if self._uncertain.get(key) is task:
                del self._uncertain[key]

        task.add_done_callback(forget)

    async def _look_up(self, key: Key) -> None:
        backoff = Backoff(self.random, base=0.2, cap=5.0)
        while True:
            before = self._store.get(key)
            try:
                self.wrote(await self._client.get(self.selection.resource, key.name, key.namespace))
                return
            except NotFound:
                now = self._store.get(key)
                if (before and before.metadata.uid) != (now and now.metadata.uid):
                    continue  # another one came in meanwhile, and may have been there before or after this answer
                if before is not None:
                    self.wrote_delete(key, before.metadata.uid)
                return
            except (TransportError, ServerError, TooManyRequests, Unauthorized) as error:
                delay = backoff.next()
                _log.warning(
                    "cannot find out whether a write took effect",
                    resource=str(self.selection.resource),
                    key=str(key),
                    error=str(error),
                    retry_in=round(delay, 1),
                )
                await asyncio.sleep(delay)
            except RuntimeFailure as error:
                hint = f"grant get on {self.selection.resource} to this user" if isinstance(error, Forbidden) else None
                _log.error(
                    "cannot find out whether a write took effect; the cache shows it when the watch does",
                    resource=str(self.selection.resource),
                    key=str(key),
                    error=str(error),
                    hint=hint,
                )
                return

    async def settled(self) -> None:
        """Wait until it is known of each own write whether it took effect."""
        while self._uncertain:
            await asyncio.wait(list(self._uncertain.values()))
            await asyncio.sleep(0)  # for `forget`


class Informers:
    """All informers of a process: equal selections share one. The `WriteObserver` of the process's client.

    `client` is for reading only. `resync_seconds` is how often handlers get every object again though nothing
    changed (0: never), `idle_seconds` how long a watch may be silent.
    """

    def __init__(
        self,
        client: Client,
        metrics: Metrics,
        *,
        resync_seconds: float = 36_000.0,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        self._client = client
        self._metrics = metrics
        self._resync_seconds = resync_seconds
        self._idle_seconds = idle_seconds
        self._informers: dict[Selection[Any], Informer[Any]] = {}
        self._by_resource: dict[tuple[str, str], list[Informer[Any]]] = {}
        self._group: asyncio.TaskGroup | None = None
        self._ended = False

    def subscribe(
        self, selection: Selection[T], handler: Callable[[Delta[T]], Any] | None = None, name: str = ""
    ) -> Subscription[T]:
        """Subscribe to a selection, by its informer or a new one; see `Informer.subscribe`.

        Raises `RuntimeError` when the informers have ended.
        """
        if self._ended:
            raise RuntimeError(f"subscription to {selection}: the informers have ended")
        informer = self._informers.get(selection)
        if informer is None or informer.stopping:
            informer = Informer(
                self._client,
                selection,
                self._metrics,
                idle_seconds=self._idle_seconds,
                resync_seconds=self._resync_seconds,
            )
            self._informers[selection] = informer
            self._by_resource.setdefault(_identity(selection.resource), []).append(informer)
            if self._group is not None:
                self._begin(informer)
        return informer.subscribe(handler, name)

    async def run(self) -> None:
        """Run the informers of now and of later, until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                for informer in self._informers.values():
                    self._begin(informer)
                await asyncio.get_running_loop().create_future()
        finally:
            self._ended = True

    def _begin(self, informer: Informer[Any]) -> None:
        assert self._group is not None
        self._group.create_task(self._run(informer), name=f"informer {informer.selection}")

    async def _run(self, informer: Informer[Any]) -> None:
        try:
            await informer.run()
        finally:
            if self._informers.get(informer.selection) is informer:
                del self._informers[informer.selection]
            self._by_resource[_identity(informer.selection.resource)].remove(informer)

    async def synced(self) -> None:
        """Wait until the caches of all informers have held the server's whole state."""
        while waiting := [i for i in self._informers.values() if not i.synced.is_set()]:
            await waiting[0].synced.wait()

    @property
    def unsynced(self) -> list[str]:
        """Return which selections have not been synchronised yet."""
        return [str(informer.selection) for informer in self._informers.values() if not informer.synced.is_set()]

    @property
    def too_silent(self) -> list[str]:
        """Return of which selections a watch has been silent for too long."""
        return [str(informer.selection) for informer in self._informers.values() if informer.too_silent]

    async def settled(self) -> None:
        """Wait until it is known of each own write whether it took effect."""
        for informer in list(self._informers.values()):
            await informer.settled()

    def wrote(self, obj: Object[Any]) -> None:
        """See `client.WriteObserver`."""
        for informer in self._by_resource.get(_identity(obj.resource), ()):
            informer.wrote(obj)

    def deleted(self, resource: Resource[Any], key: Key, uid: str) -> None:
        """See `client.WriteObserver`."""
        for informer in self._by_resource.get(_identity(resource), ()):
            informer.wrote_delete(key, uid)

    def uncertain(self, resource: Resource[Any], key: Key) -> None:
        """See `client.WriteObserver`."""
        for informer in self._by_resource.get(_identity(resource), ()):
            informer.uncertain(key)


def _identity(resource: Resource[Any]) -> tuple[str, str]:
    return resource.api_version, resource.plural
