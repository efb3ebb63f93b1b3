"""How an InferenceService fails, and what remains when KServe is down, on a real kube-apiserver."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from disvc.testing.kserve import Crash
from disvc.testing.kubectl import KubectlError

if TYPE_CHECKING:
    from disvc.testing.controlplane import ControlPlane
    from disvc.testing.kserve import SimulatedKServe

ISVC = """
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata:
  name: iris
  annotations:
    serving.kserve.io/deploymentMode: RawDeployment
    serving.kserve.io/autoscalerClass: none
spec:
  predictor:
    model:
      modelFormat: {name: sklearn}
      storageUri: gs://kfserving-examples/models/sklearn/1.0/model
"""


async def test_readiness_is_not_what_serves(
    control_plane_with_controllers: ControlPlane, kserve: SimulatedKServe
) -> None:
    async def kubectl(*args: str, stdin: str | None = None) -> str:
        return await control_plane_with_controllers.kubectl(*args, f"--namespace={kserve.namespace}", stdin=stdin)

    await kubectl("apply", "-f", "-", stdin=ISVC)
    await kubectl("wait", "--for=condition=Ready", "isvc/iris", "--timeout=60s")

    kserve.fail_pods("iris", Crash(exit_code=3))
    await kubectl("wait", "--for=condition=Ready=false", "isvc/iris", "--timeout=60s")
    kserve.recover("iris")
    await kubectl("wait", "--for=condition=Ready", "isvc/iris", "--timeout=60s")

    await kserve.stop()
    kserve.fail_pods("iris")
    await kubectl("wait", "--for=condition=Ready=false", "pod", "--all", "--timeout=60s")
    await kubectl("wait", "--for=condition=Ready", "isvc/iris", "--timeout=1s")  # as KServe left it
    with pytest.raises(KubectlError, match="failed calling webhook"):
        await kubectl("label", "isvc", "iris", "colour=red")
    await kserve.start()
    await kubectl("label", "isvc", "iris", "colour=red")
