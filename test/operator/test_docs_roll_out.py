"""docs/how-to/roll-out.md: its commands, taken from the page, do what it says they do."""

from __future__ import annotations

import asyncio
import json
import math
import os
import sys
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from markdown_it import MarkdownIt

from disvc.reconcilers.resources import INGRESSES, ISVCS, REVISIONS
from disvc.runtime import Resource
from disvc.testing.binaries import binary
from disvc.testing.kserve import Healthy

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from disvc.runtime import Manager
    from disvc.testing.kserve import SimulatedKServe

    Page = Callable[[str], Coroutine[Any, Any, str]]

pytestmark = pytest.mark.usefixtures("kserve")

JQ = f"""#!{sys.executable}
import json, sys, jq
_, name, value, program = sys.argv[1:]  # --argjson NAME VALUE PROGRAM
print(jq.compile(program, args={{name: json.loads(value)}}).input_text(sys.stdin.read()).text())
"""
"""The jq of the Python package, as nobody who runs the tests needs to have the program."""

PAGE = Path(__file__).parents[2] / "docs/how-to/roll-out.md"
NAME = "iris-rest"
DEPLOYMENTS: Resource[dict[str, Any]] = Resource("apps/v1", "Deployment", "deployments")
NEVER_READY = Healthy(startup_seconds=math.inf)
V1, V2 = {"version": "v1"}, {"version": "v2"}


def commands(block: str) -> Iterator[str]:
    """Yield the commands of a `console` block; their further lines are indented, and what is not is output."""
    command: list[str] = []
    for line in block.splitlines():
        if line.startswith("    ") and command:
            command.append(line)
            continue
        if command:
            yield "\n".join(command)
        command = [line.removeprefix("$ ")] if line.startswith("$ ") else []
    if command:
        yield "\n".join(command)


COMMANDS = list(
    chain.from_iterable(commands(t.content) for t in MarkdownIt().parse(PAGE.read_text()) if t.info == "console")
)


@pytest.fixture
def page(cluster: Any, tmp_path: Path) -> Page:
    """`await page("promote=")` runs the one command of the page that has this in it, and returns its stdout."""
    kubeconfig = yaml.safe_load(cluster.plane.admin.kubeconfig.read_text())
    kubeconfig["contexts"][0]["context"]["namespace"] = cluster.namespace
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(kubeconfig))
    (tmp_path / "kubectl").symlink_to(binary("kubectl"))
    (tmp_path / "jq").write_text(JQ)
    (tmp_path / "jq").chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
        "KUBECONFIG": str(tmp_path / "kubeconfig"),
        "KUBECACHEDIR": str(tmp_path / "cache"),
    }

    async def run(part: str) -> str:
        (command,) = (command for command in COMMANDS if part in command)
        process = await asyncio.create_subprocess_exec(
            *("bash", "-o", "pipefail", "-c", command), env=environment, stdout=-1, stderr=-1
        )
        async with asyncio.timeout(60):
            out, err = await process.communicate()
        assert process.returncode == 0, f"{command}\n{err.decode()}"
        return out.decode()

    return run


async def serve(cluster: Any, page: Page, **spec: Any) -> None:
    await cluster.create(cluster.manifest(NAME, annotations=V1, **spec))
    await page("kubectl wait")


async def active(cluster: Any) -> str:
    name: str = (await cluster.status(NAME))["activeRevision"]["name"]
    return name


async def test_a_rollout_is_paused_resumed_promoted_and_watched(cluster: Any, operator: Manager, page: Page) -> None:
    await serve(cluster, page)
    await page("promotion: Manual")
    await cluster.set_spec(NAME, annotations=V2)
    await cluster.until_phase("AwaitingPromotion", NAME)
    await page("paused: true")
    await cluster.until_condition("Ready", "Unknown", "Paused", NAME)
    await page("promote=")
    await page("paused: false")
    await page("kubectl wait")
    status = await cluster.status(NAME)
    assert status["activeRevision"]["name"] == "iris-rest-v2"
    assert status["address"]["url"] == f"http://iris-rest-v2.{cluster.namespace}.svc.cluster.local"
    told = [await page("kubectl describe"), await page("kubectl events")]
    assert all("RolloutSucceeded" in text and "Paused" in text for text in told)


async def test_abort_gives_the_attempt_up_that_the_page_shows_and_retry_begins_the_next(
    cluster: Any, operator: Manager, kserve: SimulatedKServe, page: Page
) -> None:
    await serve(cluster, page)
    kserve.behave("iris-rest-v2-0", NEVER_READY)
    await cluster.set_spec(NAME, annotations=V2)
    await cluster.until_phase("Progressing", NAME)
    shown = await page(".status.rollout.attempt")
    assert shown == "iris-rest-v2/1\n"
    assert f"\n{shown}```" in PAGE.read_text()
    await page("abort=")
    await cluster.until_condition("Stalled", reason="Aborted", name=NAME)
    await cluster.until_phase("Failed", NAME)
    await cluster.until_gone(ISVCS, "iris-rest-v2-0")
    await cluster.until_gone(DEPLOYMENTS, "iris-rest-v2-0-predictor")
    kserve.recover("iris-rest-v2-0")
    await page("retry=")
    await page("kubectl wait")
    assert await active(cluster) == "iris-rest-v2"


async def test_hold_keeps_a_failed_revision_where_the_page_looks_for_it(
    cluster: Any, operator: Manager, kserve: SimulatedKServe, page: Page
) -> None:
    await serve(cluster, page)
    await page("failedRevisionTTLSeconds")
    await page("onFailure: Hold")
    kserve.behave("iris-rest-v2-0", NEVER_READY)
    await cluster.set_spec(NAME, annotations=V2, deploymentStrategy={"progressDeadlineSeconds": 2})
    await cluster.until_phase("Failed", NAME)
    found = (await page("isvc,pods")).split()
    assert "inferenceservice.serving.kserve.io/iris-rest-v2-0" in found
    assert any(word.startswith("pod/iris-rest-v2-0-predictor-") for word in found)


@pytest.mark.parametrize("spelling", ["inferenservice", "inferenceService"])
async def test_undo_brings_the_whole_first_template_back_and_nothing_else(
    cluster: Any, operator: Manager, page: Page, spelling: str
) -> None:
    spec = {spelling: cluster.manifest()["spec"]["inferenservice"]}
    await serve(cluster, page, replicas=2, **spec)
    before = (await cluster.get(NAME))["spec"]
    added = {"predictor": {"serviceAccountName": "added", "model": {"args": ["--added"], "storageUri": "gs://other"}}}
    await cluster.set_spec(
        NAME, **{spelling: added}, annotations={"added": "<1> & '2'"}, labels={"added": "1"}, modelName="other"
    )
    await page("kubectl wait")
    await page("restartedAt")
    await page("kubectl wait")
    assert "kubectl.kubernetes.io/restartedAt" in (await cluster.get(NAME))["spec"]["annotations"]
    assert await active(cluster) == "iris-rest-v3"
    listed = (await page("-l disvc=iris-rest --sort-by")).splitlines()[1:]
    assert [line.split()[0] for line in listed] == ["iris-rest-v1", "iris-rest-v2", "iris-rest-v3"]
    await cluster.set_spec(NAME, replicas=1)
    await page("jq")
    await page("kubectl wait")
    assert await active(cluster) == "iris-rest-v4"
    assert (await cluster.get(NAME))["spec"] == {**before, "replicas": 1}
    first, fourth = [(await cluster.get(f"iris-rest-v{n}", REVISIONS))["data"] for n in (1, 4)]
    assert (fourth["template"], fourth["hash"]) == (first["template"], first["hash"])


async def test_undo_of_a_rollout_that_progresses_takes_the_spec_back_and_makes_no_revision(
    cluster: Any, operator: Manager, kserve: SimulatedKServe, page: Page
) -> None:
    await serve(cluster, page)
    kserve.behave("iris-rest-v2-0", NEVER_READY)
    await cluster.set_spec(NAME, annotations=V2)
    await cluster.until_phase("Progressing", NAME)
    await page("jq")
    await page("kubectl wait")
    assert await active(cluster) == "iris-rest-v1"
    assert "iris-rest-v3" not in await cluster.names(REVISIONS)


async def test_scale_and_stop_make_no_revision_and_the_addresses_stay(
    cluster: Any, operator: Manager, page: Page
) -> None:
    await serve(cluster, page)
    await page("kubectl scale")
    await page("kubectl wait")
    assert await cluster.names(ISVCS) == {f"iris-rest-v1-{index}" for index in range(3)}
    await page("/stop=true")
    await cluster.until_condition("Available", "False", "Stopped", NAME)
    await cluster.until_gone(ISVCS, *(f"iris-rest-v1-{index}" for index in range(3)))
    assert NAME in await cluster.names(INGRESSES)
    await page("/stop-")
    await page("kubectl wait")
    assert await active(cluster) == "iris-rest-v1"


async def test_children_that_were_orphaned_are_in_the_way_of_a_disvc_of_the_same_name(
    cluster: Any, operator: Manager, page: Page
) -> None:
    await serve(cluster, page)
    manifest = cluster.manifest(NAME, annotations=V1)
    await cluster.kubectl("delete", "disvc", NAME, "--cascade=orphan")
    assert "iris-rest-v1-0" in await cluster.names(ISVCS)
    await cluster.kubectl("apply", "-f", "-", stdin=json.dumps(manifest))
    await cluster.until_condition("Stalled", reason="NameConflict", name=NAME)
