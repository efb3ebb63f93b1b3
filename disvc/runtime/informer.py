"""The informer: one cache and its handlers for all who want to know of the same objects.

    server ──reflector──► Informer ──► cache                    (read by reconcilers)
                             ▲   └───► each handler's own line  (a slow one delays nobody else)
       own writes ───────────┘

What it promises:
- A handler gets each change that it has not seen as a `Delta`, an object's changes in their order, and first of
  all what is there already. It may be added and removed at any time; the last user leaving stops the reflector.
- The cache never goes back: what is older than what it holds, or was deleted by this process, is ignored.
- Reads after own writes: a `Client` whose observer is `Informers` puts each answer to a write into the cache
  before the writer sees it. Where the answer was lost, `settled()` waits until the object was looked up.
- A handler that raises gets that object's change again (see `subscription`).
- An object that was deleted and made again while nobody looked is a deletion and an addition, as the UID tells.
"""

from __future__ import annotations

import asyncio
from itertools import takewhile
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import structlog

from disvc.runtime.backoff import Backoff
from disvc.runtime.cache import Cache, Store
from disvc.runtime.cancellation import cancel, goes_on
from disvc.runtime.delta import Delta
from disvc.runtime.errors import (
    ConfigurationError,
    Forbidden,
    InternalError,
    NotFound,
    RuntimeFailure,
    ServerError,
    TooManyRequests,
    TransportError,
    Unauthorized,
)
from disvc.runtime.reflector import Reflector
from disvc.runtime.subscription import Subscription

if TYPE_CHECKING:
    from collections.abc import Callable

    from disvc.runtime.client import Client
    from disvc.runtime.metrics import Metrics
    from disvc.runtime.objects import Key, Object
    from disvc.runtime.selection import Selection

T = TypeVar("T")

_FOREVER = 1 << 63
_OLD_NEWS_KEPT_SECONDS = 600.0
_LOOK_UP_SECONDS = 60.0
"""For how long a server may fail to show one object before reconciles go on without knowing it."""
_log = structlog.get_logger("disvc.informer")


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
        self._handlers: set[asyncio.Task[None]] = set()
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
        subscription = Subscription(
            handler,
            name,
            cache=self._store,
            leave=self._leave,
            count_error=lambda: self._metrics.handler_errors.labels(name).inc(),
            random=self.random,
        )
        self._subscriptions[subscription] = None
        subscription.put([Delta(None, obj, initial=True) for obj in self._store])
        if self.synced.is_set():
            subscription.end_of_initial()
        if self._group is not None:
            self._begin(subscription)
        return subscription

    def _begin(self, subscription: Subscription[T]) -> None:
        assert self._group is not None
        if subscription.handler is not None:
            # Beside the group, which would wait for ever for a handler that does not heed its cancellation.
            task = asyncio.create_task(
                subscription.deliver(), name=f"handler {subscription.name or repr(subscription.handler)}"
            )
            self._subscriptions[subscription] = task
            self._handlers.add(task)
            task.add_done_callback(self._handlers.discard)
            self._group.create_task(_end_of(task), name=f"end of {task.get_name()}")

    async def _leave(self, subscription: Subscription[T]) -> None:
        task = self._subscriptions.pop(subscription, None)
        if not self._subscriptions:
            self._stop()
        if task is not None and task is not asyncio.current_task():
            await _cancel({task})
        elif task is not None:
            task.cancel()

    def _stop(self) -> None:
        if not self.stopping:
            self.stopping = True
            self.synced.set()
            for own_metrics in self._reflector_metrics:
                own_metrics.remove()
            if self._main is not None:
                self._main.cancel()

    async def run(self) -> None:
        """Reflect and deliver until cancelled or the last subscription leaves.

        Raises `RuntimeFailure` where a handler goes on though it was cancelled.
        """
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
            self._group = self._main = None
            self._stop()
            await _cancel(self._handlers)

    async def _resync(self) -> None:
        while True:
            # Spread, so that the resyncs of many informers do not come together.
            await asyncio.sleep(self._resync_seconds * self.random.uniform(0.9, 1.1))
            self._tell([Delta(obj, obj) for obj in self._store])

    def _tell(self, deltas: list[Delta[T]]) -> None:
        for subscription in self._subscriptions:
            subscription.put(deltas)

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
        look_up = self._look_up(key)
        try:
            task = self._group.create_task(look_up, name=f"look up {self.selection.resource} {key}")
        except RuntimeError:  # the informer is ending: nobody reads its cache any more
            look_up.close()
            return
        self._uncertain[key] = task

        def forget(_: asyncio.Task[None]) -> None:
            if self._uncertain.get(key) is task:
                del self._uncertain[key]

        task.add_done_callback(forget)

    async def _look_up(self, key: Key) -> None:
        backoff = Backoff(self.random, base=0.2, cap=5.0)
        began = self._clock.monotonic()
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
            except (TransportError, ServerError, TooManyRequests, Unauthorized, ConfigurationError) as error:
                # A 500 is of this object (it is corrupt, or its conversion webhook fails), and may be for ever.
                if isinstance(error, InternalError) and self._clock.monotonic() - began > _LOOK_UP_SECONDS:
                    self._give_up(key, error)
                    return
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
                self._give_up(key, error)
                return

    def _give_up(self, key: Key, error: RuntimeFailure) -> None:
        hint = f"grant get on {self.selection.resource} to this user" if isinstance(error, Forbidden) else None
        _log.error(
            "cannot find out whether a write took effect; the cache shows it when the watch does",
            resource=str(self.selection.resource),
            key=str(key),
            error=str(error),
            hint=hint,
        )

    async def settled(self) -> None:
        """Wait until it is known of each own write whether it took effect."""
        while self._uncertain:
            await asyncio.wait(list(self._uncertain.values()))
            await asyncio.sleep(0)  # for `forget`


async def _end_of(task: asyncio.Task[None]) -> None:
    """Wait for a task, and raise what it raised."""
    await asyncio.wait([task])
    if not task.cancelled():
        task.result()


async def _cancel(handlers: set[asyncio.Task[None]]) -> None:
    deaf = await cancel(handlers)
    if deaf:
        raise RuntimeFailure(goes_on(" and ".join(sorted(task.get_name() for task in deaf))))
