"""One pod as processes: its storage-initializer, and then its model server."""

from __future__ import annotations

import asyncio
import shutil
from typing import TYPE_CHECKING, Final

from disvc.local.container import Container
from disvc.local.containers import CannotRun, loader_command, program, server_command, server_ports
from disvc.local.logs import NoLog
from disvc.local.probe import Probe
from disvc.testing.kserve.behaviour import Running, Stage, Terminated, Waiting
from disvc.testing.kserve.pod_status import restarts_of
from disvc.testing.kserve.runner import PodRun

if TYPE_CHECKING:
    from collections.abc import Callable

    from disvc.local.containers import Command
    from disvc.local.host import Host
    from disvc.local.logs import RunLog
    from disvc.testing.kserve.behaviour import ContainerState
    from disvc.testing.kserve.resources import Value

_INITIALIZING: Final = Waiting("PodInitializing")


class Pod:
    """The processes behind one pod object; `changed` is called when its `run` is another, or it has ended.

    A pod that cannot be run here waits for ever, with the reason and what to do.
    """

    def __init__(self, pod: Value, host: Host, changed: Callable[[], None]) -> None:
        metadata, spec = pod["metadata"], pod["spec"]
        self.uid: str = metadata["uid"]
        self.has_ended = False
        self._name = metadata["name"]
        self._is_init = {
            container["name"]: field == "initContainers"
            for field in ("initContainers", "containers")
            for container in spec.get(field) or ()
        }
        """Of each container, by name."""
        self._host = host
        self._changed = changed
        self._restarts = restarts_of(pod)
        self._folder = host.folder / f"{metadata['namespace']}_{metadata['name']}_{self.uid}"
        self._volumes = {
            volume["name"]: self._folder / "volumes" / volume["name"]
            for volume in spec.get("volumes") or ()
            if "emptyDir" in volume
        }
        self._sandbox = host.addresses.open(server_ports(spec["containers"][0]).values())
        self._inits: list[Container] = []
        self._initialized = 0
        """How many of those have succeeded."""
        self._server: Container | None = None
        self._refusal: Waiting | None = None
        try:
            self._prepare(spec)
        except CannotRun as refusal:
            self._refusal = Waiting(refusal.reason, str(refusal))
        self._life = host.spawn(self._live(), f"pod {self._name}")
        self._ending: asyncio.Task[None] | None = None

    @property
    def run(self) -> PodRun:
        """Return how it is now."""
        before = dict(self._restarts)
        for container in self._inits[: self._initialized]:
            before[container.name] = before.get(container.name, 0) + container.restarts
        return PodRun(self._stage(), self._sandbox.ip, before, self._sandbox.annotations)

    def log(self, container: str, *, previous: bool) -> RunLog:
        """Return the log of a container's run, or of the one before.

        Raises `NoLog`, as a kubelet words it (validateContainerLogStatus).
        """
        which = f'container "{container}" in pod "{self._name}"'
        if container not in self._is_init:
            raise NoLog(f'container "{container}" not found in pod "{self._name}"', 404)
        for each in self._containers():
            if each.name == container and (log := each.log(previous=previous)):
                return log
        if previous:
            raise NoLog(f"previous terminated {which} not found")
        stage = self._stage()
        raise NoLog(f"{which} is {_without_log(stage.init if self._is_init[container] else stage.server)}")

    def end(self, grace_seconds: float, drain_seconds: float) -> None:
        """Begin its end, if it has not begun: after the drain time SIGTERM, and when its grace is over SIGKILL."""
        if self._ending is None:
            drain_seconds = min(drain_seconds, grace_seconds)
            self._ending = self._host.spawn(self._end(drain_seconds, grace_seconds - drain_seconds), "end of a pod")

    def kill(self) -> None:
        """End it at once, whether its end has begun or not."""
        if self._ending is not None:
            self._ending.cancel()
        self._ending = self._host.spawn(self._end(0, 0), "end of a pod")

    def _prepare(self, spec: Value) -> None:
        """Find out what its containers run.

        Raises `CannotRun`.
        """
        server = spec["containers"][0]
        if len(spec["containers"]) > 1:
            names = ", ".join(container["name"] for container in spec["containers"])
            raise CannotRun("CreateContainerConfigError", f"only one container of a pod can be run here, not {names}")
        program(server)  # that its image is not known is told first
        for container in spec.get("initContainers") or ():
            self._inits.append(self._container(container, loader_command(container, self._volumes, self._host.mirror)))
        command = server_command(server, self._sandbox, self._volumes)
        self._server = self._container(server, command, Probe(server, self._sandbox))

    def _container(self, container: Value, command: Command, probe: Probe | None = None) -> Container:
        name = container["name"]
        logs, loop = self._folder / name, self._host.crash_loop()
        return Container(name, command, self._host.processes, logs, restarts=loop, changed=self._changed, probe=probe)

    def _containers(self) -> list[Container]:
        return [*self._inits, *([self._server] if self._server else ())]

    def _stage(self) -> Stage:
        if self._refusal is not None or self._server is None:
            return Stage(self._refusal or _INITIALIZING)
        if self._initialized < len(self._inits):
            init = self._inits[self._initialized]
            return Stage(_INITIALIZING, init.state, last=init.last, restarts=init.restarts)
        loaded = self._inits[-1].state if self._inits else Terminated()
        server = self._server
        return Stage(server.state, loaded, ready=server.ready, last=server.last, restarts=server.restarts)

    async def _live(self) -> None:
        if self._refusal is not None or self._server is None:
            return
        for folder in self._volumes.values():
            folder.mkdir(parents=True, exist_ok=True)
        for init in self._inits:
            await init.run(until_success=True)
            self._initialized += 1
        await self._server.run(until_success=False)

    async def _end(self, drain_seconds: float, grace_seconds: float) -> None:
        await asyncio.sleep(drain_seconds)
        self._life.cancel()
        await asyncio.wait([self._life])
        for container in self._containers():
            await container.stop(grace_seconds)
        self._host.addresses.close(self._sandbox)
        await asyncio.to_thread(shutil.rmtree, self._folder / "volumes", ignore_errors=True)
        self.has_ended = True
        self._changed()


def _without_log(state: ContainerState) -> str:
    """Return why a container in a state has no log."""
    match state:
        case Waiting("ImagePullBackOff"):
            return "waiting to start: trying and failing to pull image"
        case Waiting(reason):
            return f"waiting to start: {reason}"
        case Terminated():
            return "terminated"
        case Running():  # another one does
            return f"waiting to start: {_INITIALIZING.reason}"
