"""Runs the demo from an empty machine to its end."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, closing, suppress
from typing import TYPE_CHECKING, Any, Final

import yaml
from aiohttp import ClientError
from grpc.aio import AioRpcError

from disvc.local.cluster import PartEnded, local_cluster
from disvc.local.demo.hints import hints
from disvc.local.demo.news import News
from disvc.local.demo.stage import Stage
from disvc.local.demo.story import Story
from disvc.local.ingress.ports import choose
from disvc.local.models import train
from disvc.runtime import Manager, TransportError
from disvc.runtime.signals import stopped_by_signals
from disvc.testing.running import running
from disvc.testing.supervisor import Supervisor

if TYPE_CHECKING:
    from pathlib import Path

    from disvc.local.cluster import LocalCluster
    from disvc.local.demo.narrator import Narrator
    from disvc.local.models import TrainedModel

NAMESPACE: Final = "models"
_GRACE_SECONDS: Final = 2.0
_CHECK_SECONDS: Final = 1.0


async def run(
    narrator: Narrator, config: Path, *, keep: bool, http_port: int | None = None, https_port: int | None = None
) -> bool:
    """Run the demo, and return whether all promises held. `config` is the folder with rbac and samples.

    With `keep`, everything stays up after it until SIGINT or SIGTERM, or until a part of it ends, which is a promise
    that did not hold.

    Raises what `local_cluster` does, and `TransportError` where the API server is no longer there to clean up.
    """
    choose(http_port, https_port)  # before models are trained for nothing
    with closing(await asyncio.to_thread(Supervisor)) as keeper:  # of the models' folder, also after a kill -9
        narrator.title("A cluster on this machine")
        narrator.tell("training the models …")
        training = asyncio.create_task(_train(narrator, keeper.folder))
        try:
            await _run(narrator, config, training, keep=keep, asked_ports=(http_port, https_port))
        finally:
            await asyncio.gather(training, return_exceptions=True)  # its thread would write on
    return not narrator.broken


async def _train(narrator: Narrator, folder: Path) -> list[TrainedModel]:
    models = await asyncio.to_thread(train, folder)
    for model in models:
        narrator.tell(f"{model.uri} is {model.words}")
    return models


async def _run(
    narrator: Narrator,
    config: Path,
    training: asyncio.Task[list[TrainedModel]],
    *,
    keep: bool,
    asked_ports: tuple[int | None, int | None],
) -> None:
    narrator.tell("starting an API server in memory, controllers, KServe, Envoy, the operator …")
    mirror: dict[str, Path] = {}
    starting = local_cluster(
        NAMESPACE, rights=rights(config / "rbac"), mirror=mirror, http_port=asked_ports[0], https_port=asked_ports[1]
    )
    async with AsyncExitStack() as stack:
        with narrator.waiting("until it is up"):
            cluster = await stack.enter_async_context(starting)
            models = await training
        mirror |= {model.uri: model.folder for model in models}
        ports = cluster.ingress.ports
        narrator.tell(f"the ingress listens on {ports.address}:{ports.http}, and {ports.https} for TLS")
        following = Manager(cluster.transport, name="demo", namespaces=[NAMESPACE], grace_seconds=_GRACE_SECONDS)
        stage = Stage(cluster, News(following, narrator.tell), narrator, config / "samples")
        story = Story(stage, narrator, models)
        async with running(following):
            try:
                await story.tell()
            except (TimeoutError, ClientError, AioRpcError, TransportError) as error:
                narrator.promise(False, f"the story went on to its end: {type(error).__name__}: {error}")
                narrator.say(f"The operator's log ends with:\n{cluster.operator.last_words()}")
            if keep:
                narrator.title("It stays up until Ctrl-C")
                narrator.say(hints(cluster))
                try:
                    await _stay_up(cluster)
                except PartEnded as error:
                    narrator.promise(False, f"everything stays up: {error}")


async def _stay_up(cluster: LocalCluster) -> None:
    """Return at SIGINT or SIGTERM. Raises `PartEnded`."""
    stop = asyncio.Event()
    with stopped_by_signals(stop):
        while not stop.is_set():
            await cluster.check()
            with suppress(TimeoutError):
                async with asyncio.timeout(_CHECK_SECONDS):
                    await stop.wait()


def rights(rbac: Path) -> list[dict[str, Any]]:
    """Return the PolicyRules that the manifests give the operator for its work."""
    roles = [role for name in ("role.yaml", "events.yaml") for role in yaml.safe_load_all((rbac / name).read_text())]
    return [rule for role in roles if role["kind"] == "ClusterRole" for rule in role["rules"]]
