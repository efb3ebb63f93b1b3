"""Leader election: of all processes that share a Lease (coordination.k8s.io/v1), one at a time may write.

What is promised: `check()` never lets two of them through at one moment, as long as

- the rates of their monotonic clocks differ by less than lease duration to renew deadline (15 to 10), and
- nobody writes another holder into the Lease by hand, or deletes it when some process cannot know that it was
  there (it starts only then, or is cut off from the server).

Why it holds. The holder stops writing `renew_deadline` after it *sent* its last successful renewal. Another
process takes over only `lease_duration` after it last *saw* the record change, which is later than the
sending. Both measure with their own monotonic clock; wall clocks are never compared. `check()`, the fence,
looks at the clock at each write: a process that was stopped (SIGSTOP, a suspended machine, a blocked event
loop) is refused its first write afterwards, before any task had a chance to notice. If it was stopped between
that look and the sending, it never runs on: the kernel kills it by SIGALRM (`disvc.runtime.connection`). What no
lease can stop is a write that the network holds up; resourceVersion preconditions are for that.

The semantics and the numbers are client-go's (tools/leaderelection), but for these:

- a holder that sees another one has lost at once, and not only after the deadline;
- a record without a duration holds for as long as ours would, instead of not at all;
- a Lease that is deleted under its holder counts as if it had been renewed at that moment;
- a waiting process watches the Lease, so that it takes over a released one at once.
"""

from __future__ import annotations

import asyncio
import math
import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import structlog

from disvc.runtime.errors import (
    AlreadyExists,
    ApiError,
    ConfigurationError,
    Conflict,
    DecodeError,
    Forbidden,
    LeadershipLost,
    MethodNotAllowed,
    NotFound,
    TransportError,
)
from disvc.runtime.objects import Object, Resource
from disvc.runtime.timestamps import micro_time

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from disvc.runtime.client import Client
    from disvc.runtime.metrics import Metrics

LEASES: Final[Resource[dict[str, Any]]] = Resource("coordination.k8s.io/v1", "Lease", "leases")
JITTER: Final = 1.2
"""A waiting process tries again after `retry_period` and, by chance, up to 1.2 times that on top."""

_NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
# A ConfigurationError comes of credentials that cannot be read anew after a 401, maybe only at this moment.
_FAILURES = (ApiError, ConfigurationError, TransportError, DecodeError, TimeoutError)

_log: FilteringBoundLogger = structlog.get_logger("disvc.leader_election")


def namespace_of_this_pod() -> str:
    """Return the namespace of the pod that this process runs in; raises `ConfigurationError` where it runs in none."""
    try:
        return _NAMESPACE_FILE.read_text().strip()
    except OSError as error:
        raise ConfigurationError(
            "leader election needs a namespace for its Lease, and this process does not run in a pod "
            f"({_NAMESPACE_FILE} cannot be read): pass LeaderElection(namespace=...)"
        ) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaderElection:
    """Which Lease to hold, and how: all processes that compete for it should have the same durations.

    `namespace` is by default the pod's own; `identity` is by default made from the host's name and a UID, and
    no two processes may have the same. Durations are in seconds: `lease_duration` is for how long the others
    wait for a holder that is not heard, `renew_deadline` for how long the holder writes without a successful
    renewal, `retry_period` is the time between attempts.

    Raises `ConfigurationError` where the durations do not fit each other, or there is no namespace.
    """

    name: str
    namespace: str = field(default_factory=namespace_of_this_pod)
    identity: str = ""
    lease_duration: float = 15.0
    renew_deadline: float = 10.0
    retry_period: float = 2.0

    def __post_init__(self) -> None:
        if not self.name or not self.namespace:
            raise ConfigurationError(
                f"leader election: the Lease has no name or no namespace: {self.namespace}/{self.name}"
            )
        if self.retry_period <= 0:
            raise ConfigurationError(f"leader election: retry_period must be more than 0, not {self.retry_period} s")
        if self.renew_deadline <= self.retry_period * JITTER:
            raise ConfigurationError(
                f"leader election: renew_deadline ({self.renew_deadline} s) must be more than {JITTER} times "
                f"retry_period ({self.retry_period} s), or there is no time for a second attempt"
            )
        if self.lease_duration <= self.renew_deadline:
            raise ConfigurationError(
                f"leader election: lease_duration ({self.lease_duration} s) must be more than renew_deadline "
                f"({self.renew_deadline} s), or another process leads before this one has stopped"
            )


class LeaderElector:
    """Holds one Lease for one process.

    `client` must be of its own, over `Transport.fork()`, so that the requests of a busy program cannot hold a
    renewal up, and without a fence. No call takes longer than half the renew deadline.
    """

    def __init__(self, config: LeaderElection, client: Client, metrics: Metrics) -> None:
        environment = client.environment
        self.config = config
        self.identity = config.identity or f"{socket.gethostname()}_{environment.new_uid()}"
        self._client = client
        self._clock = environment.clock
        self._random = environment.random
        self._is_leader = metrics.leader.labels(config.name)
        self._is_leader.set(0)
        self._log = _log.bind(lease=f"{config.namespace}/{config.name}", identity=self.identity)
        self._call_seconds = config.renew_deadline / 2
        self._watch_allowed = True
        # When the renewal that succeeded last was sent; None while the lease is not held.
        self._renewed_at: float | None = None
        # The Lease as it was last read or written; None while there is none.
        self._lease: Object[dict[str, Any]] | None = None
        # What it says, or said before it was deleted (`_missing`), and when that was last seen to change.
        self._spec: dict[str, Any] = {}
        self._missing = False
        self._changed_at = -math.inf

    @property
    def holder(self) -> str:
        """Return the identity that the Lease names as its holder, as last seen; "" for none."""
        return self._spec.get("holderIdentity") or ""

    def check(self) -> float:
        """Raise `LeadershipLost` unless this process may write at this very moment: the fence of a `Client`.

        Returns for how many seconds a write that passed may still be on its way out of this process, which is
        half way from the renew deadline to the moment at which another process may lead.
        What goes wrong without one: https://martin.kleppmann.com/2016/02/08/how-to-do-distributed-locking.html
        """
        renewed_at = self._renewed_at
        if renewed_at is None:
            raise LeadershipLost(f"{self._who()} does not hold the lease: {self._holder_in_words()}")
        age = self._clock.monotonic() - renewed_at
        if age >= self.config.renew_deadline:
            raise LeadershipLost(
                f"{self._who()} has not renewed the lease for {age:.1f} s, and may write only for "
                f"{self.config.renew_deadline:g} s after a renewal: another process may lead now"
            )
        return (self.config.renew_deadline + self.config.lease_duration) / 2 - age

    async def acquire(self) -> None:
        """Wait until this process holds the lease. Failures are logged and tried again, without end."""
        self._log.info("waiting for the lease")
        complaint = ""
        while True:
            try:
                async with asyncio.timeout(self._call_seconds):
                    if await self._attempt():
                        break
                complaint = ""
            except _FAILURES as error:
                # The message of a 403 says which verb on which resource.
                if (said := self._in_words(error)) != complaint:
                    self._log.warning("the lease cannot be tried for; trying on", error=said)
                    complaint = said
            await self._wait_for_a_chance()
        self._is_leader.set(1)
        self._log.info("acquired the lease")

    async def hold(self) -> None:
        """Renew the lease until it is lost.

        Raises `LeadershipLost` when no renewal has succeeded for the renew deadline, or another process is
        seen to hold the lease.
        """
        while True:
            await asyncio.sleep(self.config.retry_period)
            await self._renew()

    async def release(self) -> None:
        """Give the lease back, so that another process need not wait for its end.

        Call it when all writing is over; from then on `check` refuses. A failure is only logged, as the lease
        ends by itself. Takes at most half the renew deadline.
        """
        self._resign()
        try:
            async with asyncio.timeout(self._call_seconds):
                # It is read anew as a renewal that was cancelled on its way may have taken effect.
                await self._read()
                if self._lease is None or self.holder != self.identity:
                    return
                now = micro_time(self._clock.now())
                # A duration of 0 is not allowed.
                await self._write(holderIdentity="", leaseDurationSeconds=1, acquireTime=now, renewTime=now)
        except _FAILURES as error:
            self._log.warning("the lease cannot be released; it ends by itself", error=self._in_words(error))
        else:
            self._log.info("released the lease")

    async def _renew(self) -> None:
        failure = "the process was stopped, or its event loop was blocked, for too long"
        try:
            async with asyncio.timeout(self._seconds_left()):
                # The clock is asked, too: after a stop it may say more than the timer has noticed.
                while self._seconds_left() > 0:
                    try:
                        async with asyncio.timeout(self._call_seconds):
                            if await self._attempt():
                                return
                        failure = self._holder_in_words()
                        if self._another_holds():
                            break
                    except _FAILURES as error:
                        failure = self._in_words(error)
                        self._log.warning("renewing the lease failed; trying again", error=failure)
                    await asyncio.sleep(self.config.retry_period)
        except TimeoutError:
            pass
        self._resign()
        self._log.error("lost the lease", error=failure)
        raise LeadershipLost(f"{self._who()} lost the lease: {failure}")

    def _seconds_left(self) -> float:
        if self._renewed_at is None:
            return 0
        return self._renewed_at + self.config.renew_deadline - self._clock.monotonic()

    def _resign(self) -> None:
        self._renewed_at = None
        self._is_leader.set(0)

    async def _attempt(self) -> bool:
        """Take or renew the lease if that is possible now; return whether it is held."""
        if self._lease is not None and self.holder == self.identity:
            try:
                await self._take()
            except (Conflict, NotFound):
                pass  # somebody else wrote or deleted it: see what it says now
            else:
                return True
        await self._read()
        if self._another_holds():
            return False
        try:
            await self._take()
        except (Conflict, AlreadyExists):
            await self._read()  # another process was faster: the fence must know at once
            return False
        return True

    def _another_holds(self) -> bool:
        """Whether another process may still believe, by what was seen, that it holds the lease."""
        if self._missing:
            # Whoever held it then need not know yet: that is ourselves, or somebody whom we may not have seen.
            if self._seconds_left() > 0:
                return False
            duration = self.config.lease_duration
        elif self.holder in ("", self.identity):
            return False
        else:
            # A record that does not say for how long it holds is given what we would take ourselves.
            duration = float(self._spec.get("leaseDurationSeconds") or self.config.lease_duration)
        return self._clock.monotonic() - self._changed_at < duration

    async def _read(self) -> None:
        try:
            self._observe(await self._client.get(LEASES, self.config.name, self.config.namespace))
        except NotFound:
            self._observe_missing()

    def _observe(self, lease: Object[dict[str, Any]]) -> bool:
        """Take note of what the lease says now; return whether its holder gave a sign of life."""
        spec = lease.decode().get("spec") or {}
        # The record is compared, and not the resourceVersion: a label set by hand is not a sign of life.
        changed = self._missing or spec != self._spec
        last_holder = self.holder
        self._lease, self._spec, self._missing = lease, spec, False
        if changed:
            self._changed_at = self._clock.monotonic()
        if self.holder != self.identity:
            self._renewed_at = None
            if self.holder != last_holder:
                self._log.info(
                    "the lease has another holder" if self.holder else "the lease is free", holder=self.holder
                )
        return changed

    def _observe_missing(self) -> None:
        """Note that there is no Lease: one that was there has been deleted under its holder."""
        if self._lease is not None:
            self._log.warning("the lease was deleted", holder=self.holder)
            self._lease = None
            self._missing = True
            self._changed_at = self._clock.monotonic()

    async def _take(self) -> None:
        """Write the lease with ourselves as its holder, creating it where there is none."""
        held = self.holder == self.identity
        now = micro_time(self._clock.now())
        transitions = int(self._spec.get("leaseTransitions") or 0)
        sent_at = self._clock.monotonic()
        await self._write(
            holderIdentity=self.identity,
            # Rounded up: with less than what was configured the others would not wait long enough.
            leaseDurationSeconds=math.ceil(self.config.lease_duration),
            acquireTime=(self._spec.get("acquireTime") or now) if held else now,
            renewTime=now,
            leaseTransitions=transitions if held or self._lease is None else transitions + 1,
        )
        self._renewed_at = sent_at

    async def _write(self, **spec: object) -> None:
        """Write the lease; what is in it beside `spec` stays as it is.

        The resourceVersion and the UID that were read go back with it, so it is a `Conflict` where somebody
        has written or deleted the Lease since (without a UID a PUT creates a deleted Lease anew).
        """
        if self._lease is None:
            metadata = {"name": self.config.name, "namespace": self.config.namespace}
            self._observe(await self._client.create(LEASES, {"metadata": metadata, "spec": spec}))
        else:
            value = self._lease.decode()
            value["spec"] = {**(value.get("spec") or {}), **spec}
            self._observe(await self._client.update(LEASES, value))

    async def _wait_for_a_chance(self) -> None:
        """Wait out the retry period, less if the lease becomes free, more as long as its holder is heard."""
        pause = self.config.retry_period * (1 + self._random.uniform(0, JITTER))
        try:
            async with asyncio.timeout(pause) as silence:
                if self._lease is not None and self._watch_allowed and await self._hear_it_is_free(silence, pause):
                    return
                await asyncio.sleep(pause)
        except TimeoutError:
            pass

    async def _hear_it_is_free(self, silence: asyncio.Timeout, pause: float) -> bool:
        """Watch the lease until it is free (True) or the watch ends (False).

        Each sign of life puts the end of `silence` off by `pause` seconds. All this only saves time and
        requests: where the server allows no watch, polling does.
        """
        assert self._lease is not None
        loop = asyncio.get_running_loop()
        try:
            async with self._client.watch(
                LEASES,
                self.config.namespace,
                field_selector=f"metadata.name={self.config.name}",
                resource_version=self._lease.metadata.resource_version,
                timeout_seconds=300,
            ) as batches:
                async for events in batches:
                    for event in events:
                        if event.type in ("ADDED", "MODIFIED"):
                            if self._observe(LEASES.read(event.object)):
                                silence.reschedule(loop.time() + pause)
                            if not self.holder:
                                return True
                        elif event.type == "DELETED":
                            self._observe_missing()
                            return not self._another_holds()
                        elif event.type == "ERROR":
                            return False
        except (Forbidden, MethodNotAllowed) as error:
            self._watch_allowed = False
            self._log.warning("the lease cannot be watched; polling it instead", error=str(error))
        except _FAILURES as error:
            self._log.debug("the watch of the lease broke", error=self._in_words(error))
        return False

    def _who(self) -> str:
        return f"leader election {self.config.namespace}/{self.config.name}: {self.identity}"

    def _holder_in_words(self) -> str:
        if self._missing or not self.holder:
            return "nobody was seen to hold it"
        return f"{self.holder} was last seen to hold it"

    def _in_words(self, error: BaseException) -> str:
        return str(error) or f"no answer within {self._call_seconds:g} s"
