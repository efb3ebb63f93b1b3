"""DistributedInferenceServices as people see them: with the real kubectl, on a real kube-apiserver."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from disvc.api.crd import crd
from disvc.api.types import API_VERSION, KIND, DistributedInferenceService
from disvc.testing.crds import install
from disvc.testing.kubectl import KubectlError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from disvc.testing.controlplane import ControlPlane

    Kubectl = Callable[..., Awaitable[str]]

CONFIG = Path(__file__).parents[2] / "config"
SAMPLES = {path.stem: path.read_text() for path in sorted((CONFIG / "samples").glob("*.yaml"))}
REVISIONS = [{"name": f"iris-v{number}", "number": number, "hash": f"hash{number}"} for number in (1, 2)]
STATUS = {
    "phase": "Progressing",
    "url": "http://iris-ns.example.com",
    "replicas": 3,
    "readyReplicas": 2,
    "ready": "2/3",
    "selector": "disvc=iris",
    "activeRevision": REVISIONS[0],
    "targetRevision": REVISIONS[1],
    "conditions": [
        {
            "type": type_,
            "status": status,
            "reason": "A",
            "message": message,
            "lastTransitionTime": "2026-01-02T03:04:05Z",
        }
        for type_, status, message in [
            ("Available", "True", "it serves"),
            ("Ready", "Unknown", "iris-v2-0 is starting"),
        ]
    ],
}


def manifest(name: str = "iris", **fields: object) -> str:
    spec = {"inferenceService": {"predictor": {"model": {"modelFormat": {"name": "sklearn"}}}}, **fields}
    return json.dumps({"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": name}, "spec": spec})


@pytest.fixture(scope="module")
def installed(control_plane: ControlPlane) -> ControlPlane:
    """The shared control plane, which serves DISVCs from now on."""
    install(control_plane.admin, crd())
    return control_plane


@pytest.fixture
def kubectl(installed: ControlPlane, namespace: str) -> Kubectl:
    """Runs kubectl in a namespace of the test's own."""

    async def run(*args: str, **options: Any) -> str:
        return await installed.kubectl("--namespace", namespace, *args, **options)

    return run


@pytest.fixture
async def iris(kubectl: Kubectl) -> None:
    """A DISVC with a status."""
    await kubectl("create", "-f", "-", stdin=manifest(replicas=3))
    await kubectl(
        "patch", "disvc", "iris", "--subresource=status", "--type=merge", "-p", json.dumps({"status": STATUS})
    )


def contains(kept: object, written: object) -> bool:
    """Whether the server has added to maps, and changed nothing."""
    if isinstance(kept, dict) and isinstance(written, dict):
        return all(name in kept and contains(kept[name], value) for name, value in written.items())
    return kept == written


def cells(table: str) -> dict[str, str]:
    """Return the only row of a table by its columns, which begin below their headings."""
    heading, row = table.splitlines()
    names = heading.split()
    starts = [heading.index(name) for name in names] + [len(heading) + len(row)]
    return {name: row[starts[i] : starts[i + 1]].strip() for i, name in enumerate(names)}


async def test_config_crd_installs_what_the_types_say(kubectl: Kubectl) -> None:
    flags = ("--server-side", "--force-conflicts", "--dry-run=server", "-o", "json")
    assert contains(json.loads(await kubectl("apply", *flags, "-k", str(CONFIG / "crd"))), crd())


@pytest.mark.usefixtures("iris")
async def test_get_shows_where_a_rollout_is(kubectl: Kubectl) -> None:
    shown = cells(await kubectl("get", "disvc"))
    assert shown.pop("AGE")
    assert shown == {
        "NAME": "iris",
        "PHASE": "Progressing",
        "ACTIVE": "iris-v1",
        "TARGET": "iris-v2",
        "READY": "2/3",
        "URL": "http://iris-ns.example.com",
    }


@pytest.mark.usefixtures("iris")
async def test_get_wide_shows_why_too(kubectl: Kubectl) -> None:
    shown = cells(await kubectl("get", "disvc", "-o", "wide"))
    assert shown["HASH"] == "hash2"
    assert shown["MESSAGE"] == "iris-v2-0 is starting"
    assert list(shown) == ["NAME", "PHASE", "ACTIVE", "TARGET", "READY", "URL", "AGE", "HASH", "MESSAGE"]


@pytest.mark.usefixtures("iris")
@pytest.mark.parametrize("category", ["all", "kserve", "disvc", "distributedinferenceservice"])
async def test_it_is_found_by_its_names_and_categories(kubectl: Kubectl, category: str) -> None:
    assert (
        "distributedinferenceservice.serving.kserve.io/iris" in (await kubectl("get", category, "-o", "name")).split()
    )


@pytest.mark.usefixtures("iris")
async def test_wait_finds_its_condition(kubectl: Kubectl) -> None:
    await kubectl("wait", "--for=condition=Available", "disvc/iris", "--timeout=0s")
    with pytest.raises(KubectlError, match="condition not met"):
        await kubectl("wait", "--for=condition=Ready", "disvc/iris", "--timeout=0s")


@pytest.mark.usefixtures("iris")
async def test_scale_changes_replicas_and_nothing_else(kubectl: Kubectl) -> None:
    before = json.loads(await kubectl("get", "disvc/iris", "-o", "json"))
    await kubectl("scale", "disvc/iris", "--replicas=2", "--current-replicas=3")
    after = json.loads(await kubectl("get", "disvc/iris", "-o", "json"))
    assert after["spec"] == {**before["spec"], "replicas": 2}
    scale = json.loads(await kubectl("get", "disvc/iris", "--subresource=scale", "-o", "json"))
    assert scale["status"] == {"replicas": 3, "selector": "disvc=iris"}
    with pytest.raises(KubectlError, match="less than or equal to 100"):
        await kubectl("scale", "disvc/iris", "--replicas=101")


@pytest.mark.parametrize(
    ("field", "told"),
    [
        (
            "spec.deploymentStrategy.drainSeconds",
            "How many seconds the old revision is kept after the traffic has moved",
        ),
        ("spec.deploymentStrategy", "enum: RollingUpdate, Recreate"),
        ("spec.deploymentStrategy", "Defaults to 600."),
        ("spec.replicas", "0 to 100"),
        ("spec.routing.host", "The host name of requests from outside"),
        ("spec.inferenceService.predictor.workerSpec", "Refused"),
        ("spec.inferenservice", "An older spelling of inferenceService"),
        ("status.rollout.startedAt", "When the deadline began to run"),
    ],
)
async def test_explain_tells_what_a_field_means(kubectl: Kubectl, field: str, told: str) -> None:
    assert told in " ".join((await kubectl("explain", f"disvc.{field}")).split())


async def test_a_field_that_does_not_exist_is_told_and_nothing_is_created(kubectl: Kubectl) -> None:
    typo = manifest(replica=3, deploymentStrategy={"drainSecond": 1})
    with pytest.raises(KubectlError, match="unknown field") as told:
        await kubectl("apply", "-f", "-", stdin=typo)
    assert "spec.replica" in str(told.value)
    assert "spec.deploymentStrategy.drainSecond" in str(told.value)
    assert await kubectl("get", "disvc", "-o", "name") == ""


async def test_what_is_refused_is_told_on_one_line(kubectl: Kubectl) -> None:
    with pytest.raises(KubectlError) as told:
        await kubectl(
            "apply", "-f", "-", stdin=manifest(deploymentStrategy={"promotion": "Manual", "type": "Recreate"})
        )
    (line,) = str(told.value).splitlines()
    assert line.endswith(
        'The DistributedInferenceService "iris" is invalid: spec.deploymentStrategy.promotion: Forbidden: Manual needs'
        " type: RollingUpdate: with Recreate the old revision is removed first, so that nothing would serve until"
        " somebody promotes the new one"
    )


@pytest.mark.parametrize("sample", SAMPLES)
async def test_a_sample_is_admitted_and_kept(kubectl: Kubectl, sample: str) -> None:
    written = yaml.safe_load(SAMPLES[sample])
    await kubectl("apply", "-f", "-", stdin=SAMPLES[sample])
    kept = json.loads(await kubectl("get", "disvc", written["metadata"]["name"], "-o", "json"))
    assert contains(kept, written)
    assert DistributedInferenceService.model_validate(kept).spec.template["predictor"]


async def test_the_update_of_the_rolling_sample_changes_one_annotation(kubectl: Kubectl) -> None:
    await kubectl("apply", "-f", "-", stdin=SAMPLES["rolling-update-v1"])
    before = json.loads(await kubectl("get", "disvc", "iris-rolling", "-o", "json"))["spec"]
    await kubectl("apply", "-f", "-", stdin=SAMPLES["rolling-update-v2"])
    after = json.loads(await kubectl("get", "disvc", "iris-rolling", "-o", "json"))["spec"]
    assert before.pop("annotations") == {"version": "v1"}
    assert after.pop("annotations") == {"version": "v2"}
    assert before == after


async def test_the_spelling_can_be_changed_by_an_apply(kubectl: Kubectl) -> None:
    older = yaml.safe_load(SAMPLES["scale-out-rest"])
    newer = {**older, "spec": {"inferenceService": older["spec"]["inferenservice"]}}
    for flags in (["--server-side"], []):
        await kubectl("apply", *flags, "-f", "-", stdin=json.dumps(older))
        await kubectl("apply", *flags, "-f", "-", stdin=json.dumps(newer))
        kept = json.loads(await kubectl("get", "disvc", "iris-rest", "-o", "json"))["spec"]
        assert "inferenservice" not in kept
        assert kept["inferenceService"] == newer["spec"]["inferenceService"]
        await kubectl("delete", "disvc", "iris-rest")
