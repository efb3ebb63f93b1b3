"""The service as its owner meets it: through the real kubectl, and nothing else."""

from __future__ import annotations

import json
import re
import shlex
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from disvc.testing.kserve import Crash, Healthy
from disvc.testing.kubectl import KubectlError

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from disvc.runtime import Manager
    from disvc.testing.kserve import SimulatedKServe

    Operate = Callable[..., AbstractAsyncContextManager[Manager]]

pytestmark = pytest.mark.usefixtures("kserve")

READY = ("wait", "--for=condition=Ready", "disvc/m", "--timeout=60s")


async def apply(cluster: Any, **spec: Any) -> None:
    await cluster.kubectl("apply", "-f", "-", stdin=json.dumps(cluster.manifest(**spec)))


async def row(cluster: Any, *options: str) -> dict[str, str]:
    """Return the columns of `kubectl get disvc m`, by header."""
    header, line = (await cluster.kubectl("get", "disvc", "m", *options)).splitlines()
    starts = [match.start() for match in re.finditer(r"\S+", header)]
    ends = [*starts[1:], None]
    return {header[a:b].strip(): line[a:b].strip() for a, b in zip(starts, ends, strict=True)}


async def test_wait_scale_and_get_tell_how_far_it_is(cluster: Any, operator: Manager, kserve: SimulatedKServe) -> None:
    await apply(cluster)
    await cluster.kubectl(*READY)
    wide = await row(cluster, "-o", "wide")
    assert list(wide) == ["NAME", "PHASE", "ACTIVE", "TARGET", "READY", "URL", "AGE", "HASH", "MESSAGE"]
    assert {**wide, "AGE": "", "HASH": ""} == {
        "NAME": "m",
        "PHASE": "Stable",
        "ACTIVE": "m-v1",
        "TARGET": "m-v1",
        "READY": "1/1",
        "URL": f"http://m-{cluster.namespace}.example.com",
        "AGE": "",
        "HASH": "",
        "MESSAGE": "",
    }

    kserve.behave("m-v1-2", Healthy(startup_seconds=600))
    await cluster.kubectl("scale", "disvc", "m", "--replicas=3")
    await cluster.until(partial(_shows, cluster, READY="2/3", PHASE="Stable"))
    wide = await row(cluster, "-o", "wide")
    assert wide["MESSAGE"].startswith("2 of 3 members ready; m-v1-2: ")
    kserve.recover("m-v1-2")
    await cluster.kubectl(*READY)
    assert (await row(cluster))["READY"] == "3/3"
    scale = json.loads(await cluster.kubectl("get", "disvc", "m", "--subresource=scale", "-o", "json"))
    assert (scale["spec"]["replicas"], scale["status"]) == (3, {"replicas": 3, "selector": "disvc=m"})


async def _shows(cluster: Any, **columns: str) -> bool:
    return (await row(cluster)).items() >= columns.items()


async def test_a_wait_does_not_end_with_what_was_true_before_the_change(cluster: Any, operate: Operate) -> None:
    async with operate():
        await apply(cluster)
        await cluster.kubectl(*READY)
    await apply(cluster, annotations={"version": "v2"})  # nobody has seen it yet
    with pytest.raises(KubectlError, match="timed out"):
        await cluster.kubectl(*READY[:-1], "--timeout=1s")
    async with operate():
        await cluster.kubectl(*READY)
        assert (await row(cluster))["ACTIVE"] == "m-v2"


async def test_describe_tells_the_story_of_two_rollouts_and_a_rollback_in_order(
    cluster: Any, operator: Manager, kserve: SimulatedKServe
) -> None:
    strategy = {"propagationSeconds": 0, "drainSeconds": 0}
    await apply(cluster, deploymentStrategy=strategy)
    await cluster.kubectl(*READY)
    for version in ("v2", "v3"):
        await cluster.set_spec("m", annotations={"version": version})
        await cluster.kubectl(*READY)
    kserve.behave("m-v4-0", Crash())
    strategy["progressDeadlineSeconds"] = 2
    await cluster.set_spec("m", annotations={"version": "v4"}, deploymentStrategy=strategy)
    await cluster.kubectl("wait", "--for=jsonpath={.status.phase}=Failed", "disvc/m", "--timeout=60s")
    await cluster.until(lambda: _told(cluster, "RolledBack"))

    begun = ["RolloutStarted m-v{0}", "Switching m-v{0}", "Switched m-v{0}", "RolloutSucceeded m-v{0}"]
    assert await _story(cluster) == [
        "RevisionCreated m-v1",
        "RolloutSucceeded m-v1",
        *(line.format(2) for line in begun),
        *(line.format(3) for line in begun),
        "RolloutStarted m-v4",
        "ProgressDeadlineExceeded m-v4",
        "RolledBack m-v3",
    ]
    wide = await row(cluster, "-o", "wide")
    assert (wide["PHASE"], wide["ACTIVE"], wide["TARGET"], wide["READY"]) == ("Failed", "m-v3", "m-v4", "1/1")
    assert re.match(r"m-v4 was not ready within 2 s: 0 of 1 members ready; m-v4-0: .*CrashLoopBackOff", wide["MESSAGE"])


async def _story(cluster: Any) -> list[str]:
    """Return reason, and the first revision in the message, of each Event that `kubectl describe` shows."""
    described = await cluster.kubectl("describe", "disvc", "m")
    lines = described.partition("\nEvents:\n")[2].splitlines()[2:]
    columns = [re.split(r"\s{2,}", line.strip(), maxsplit=4) for line in lines]
    named = [(reason, re.search(r"m-v\d+", message)) for _, reason, _, _, message in columns]
    return [f"{reason} {match and match[0]}" for reason, match in named]


async def _told(cluster: Any, reason: str) -> bool:
    return any(line.startswith(reason) for line in await _story(cluster))


async def test_the_command_in_the_message_promotes_the_revision_that_waits(cluster: Any, operator: Manager) -> None:
    strategy = {"promotion": "Manual", "propagationSeconds": 0, "drainSeconds": 0}
    await apply(cluster, deploymentStrategy=strategy)
    await cluster.kubectl(*READY)
    await cluster.set_spec("m", annotations={"version": "v2"})
    waiting = "--for=jsonpath={.status.phase}=AwaitingPromotion"
    await cluster.kubectl("wait", waiting, "disvc/m", "--timeout=60s")
    shown = await row(cluster, "-o", "wide")
    assert (shown["ACTIVE"], shown["TARGET"]) == ("m-v1", "m-v2")

    kubectl, *command = shlex.split(shown["MESSAGE"].partition("to promote it: ")[2])
    assert kubectl == "kubectl"
    await cluster.kubectl(*command)
    await cluster.kubectl(*READY)
    assert (await row(cluster))["ACTIVE"] == "m-v2"
    history = await cluster.kubectl("get", "controllerrevisions", "-l", "disvc=m", "--sort-by=.revision", "-o", "name")
    assert history.split() == ["controllerrevision.apps/m-v1", "controllerrevision.apps/m-v2"]


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ("", "Several InferenceServices under one address"),
        (".spec.replicas", "Defaults to 1"),
        (".spec.deploymentStrategy.drainSeconds", "Defaults to 30"),
        (".spec.deploymentStrategy.promotion", "disvc.serving.kserve.io/promote"),
        (".status.phase", "AwaitingPromotion"),
    ],
)
async def test_explain_says_what_a_field_is_for(cluster: Any, field: str, words: str) -> None:
    explained = " ".join((await cluster.kubectl("explain", f"disvc{field}")).split())
    assert words in explained
