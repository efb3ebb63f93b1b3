"""What may become of an ISVC: how its pods fare over time, and what KServe says of it.

A behaviour is a value. `stage` is a pure function of the seconds since the behaviour began for a pod; nothing here
is random. All seconds may be `math.inf`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True)
class Running:
    """A container that runs; `container_id` is what its runtime calls it, "" for nothing."""

    container_id: str = ""


@dataclass(frozen=True)
class Waiting:
    """A container that does not run yet, or not any more for now."""

    reason: str
    message: str = ""


@dataclass(frozen=True)
class Terminated:
    """A container that has ended; where nobody says when it ran, it is when the pod's status tells of it."""

    reason: str = "Completed"
    exit_code: int = 0
    message: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None


ContainerState = Running | Waiting | Terminated

_INITIALIZING: Final = Waiting("PodInitializing")


@dataclass(frozen=True)
class Stage:
    """How a pod is for a while.

    `init` is the state of the storage-initializer, where there is one, and `server` that of the other containers.
    `last` is how that of the two which is in trouble ended last, `restarts` how often it was started again since
    the behaviour began. The stage lasts for `seconds`.
    """

    server: ContainerState
    init: ContainerState = Terminated()
    ready: bool = False
    last: Terminated | None = None
    restarts: int = 0
    seconds: float = math.inf


@dataclass(frozen=True)
class Healthy:
    """Ready after `init_seconds` of the storage-initializer and `startup_seconds` of the server.

    This is also "slow", and, with `startup_seconds=math.inf`, a server that runs and never turns ready. A pod that is
    ready when its behaviour becomes this stays so.
    """

    startup_seconds: float = 0.0
    init_seconds: float = 0.0

    def stage(self, elapsed: float) -> Stage:
        """Return the stage that a pod is in, `elapsed` seconds after the behaviour began for it."""
        if elapsed < self.init_seconds:
            return Stage(_INITIALIZING, Running(), seconds=self.init_seconds - elapsed)
        rest = self.init_seconds + self.startup_seconds - elapsed
        return Stage(Running(), seconds=rest) if rest > 0 else Stage(Running(), ready=True)


@dataclass(frozen=True)
class Silent(Healthy):
    """The pods are healthy, and KServe never writes the ISVC's status."""


@dataclass(frozen=True)
class UnknownRuntime(Healthy):
    """KServe does not know the runtime; the same happens to an ISVC that names one which is not known."""


@dataclass(frozen=True)
class UnsupportedStorage(Healthy):
    """KServe does not support the storageUri; the same happens to an ISVC with a scheme which is not known."""


@dataclass(frozen=True)
class Crash:
    """The server ends, `run_seconds` after each start, and is started again after `backoff_seconds`."""

    exit_code: int = 1
    reason: str = "Error"
    message: str = ""
    run_seconds: float = 0.0
    backoff_seconds: float = 10.0

    def stage(self, elapsed: float) -> Stage:
        """Return the stage that a pod is in, `elapsed` seconds after the behaviour began for it."""
        cycle, within = divmod(elapsed, self.run_seconds + self.backoff_seconds)
        restarts = int(cycle)
        ended = Terminated(self.reason, self.exit_code, self.message)
        if within < self.run_seconds:
            return Stage(
                Running(), last=ended if restarts else None, restarts=restarts, seconds=self.run_seconds - within
            )
        waiting = Waiting("CrashLoopBackOff", f"back-off {self.backoff_seconds:g}s restarting failed container")
        left = self.run_seconds + self.backoff_seconds - within
        return Stage(waiting, last=ended, restarts=restarts + 1, seconds=left)


@dataclass(frozen=True)
class OutOfMemory(Crash):
    """The kernel kills the server for its memory: exit code 137."""

    exit_code: int = 137
    reason: str = "OOMKilled"


@dataclass(frozen=True)
class ImageNotPulled:
    """The image cannot be pulled: ErrImagePull for `pull_seconds`, then ImagePullBackOff for `backoff_seconds`."""

    message: str = "rpc error: code = NotFound desc = failed to pull and unpack image: not found"
    pull_seconds: float = 0.2
    backoff_seconds: float = 10.0

    def stage(self, elapsed: float) -> Stage:
        """Return the stage that a pod is in, `elapsed` seconds after the behaviour began for it."""
        within = elapsed % (self.pull_seconds + self.backoff_seconds)
        if within < self.pull_seconds:
            return Stage(Waiting("ErrImagePull", self.message), seconds=self.pull_seconds - within)
        message = f"Back-off pulling image: ErrImagePull: {self.message}"
        return Stage(Waiting("ImagePullBackOff", message), seconds=self.pull_seconds + self.backoff_seconds - within)


@dataclass(frozen=True)
class InitFailure:
    """The storage-initializer fails, `run_seconds` after each start; without one the pod is healthy."""

    exit_code: int = 1
    message: str = "RuntimeError: Failed to fetch model. No model found in the storageUri."
    run_seconds: float = 0.0
    backoff_seconds: float = 10.0

    def stage(self, elapsed: float) -> Stage:
        """Return the stage that a pod is in, `elapsed` seconds after the behaviour began for it."""
        crash = Crash(self.exit_code, "Error", self.message, self.run_seconds, self.backoff_seconds).stage(elapsed)
        return Stage(_INITIALIZING, crash.server, last=crash.last, restarts=crash.restarts, seconds=crash.seconds)


@dataclass(frozen=True)
class Flapping:
    """Ready for `ready_seconds`, not ready for `unready_seconds`, and so on."""

    ready_seconds: float = 1.0
    unready_seconds: float = 1.0

    def stage(self, elapsed: float) -> Stage:
        """Return the stage that a pod is in, `elapsed` seconds after the behaviour began for it."""
        within = elapsed % (self.ready_seconds + self.unready_seconds)
        if within < self.ready_seconds:
            return Stage(Running(), ready=True, seconds=self.ready_seconds - within)
        return Stage(Running(), seconds=self.ready_seconds + self.unready_seconds - within)


OF_KSERVE: Final = (Silent, UnknownRuntime, UnsupportedStorage)
"""The behaviours that are KServe's own, and not its pods'."""

Behaviour = Healthy | Crash | ImageNotPulled | InitFailure | Flapping
