"""Benchmarks disvc.runtime beside client-go on one kube-apiserver: first synchronisation, memory, queue.

`make bench-runtime` runs it with 50,000 InferenceServices of 2.3 KB; `--objects` takes another number. The
contenders take turns, each a process of its own, and the median of the rounds is shown. Absolute times depend
on the machine; compare the rows.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

from disvc.runtime import Client, Resource, connect
from disvc.testing.controlplane import ControlPlane

HERE = Path(__file__).parent
CRDS = Resource("apiextensions.k8s.io/v1", "CustomResourceDefinition", "customresourcedefinitions", namespaced=False)
NAMESPACES = Resource("v1", "Namespace", "namespaces", namespaced=False)
ISVCS = Resource("serving.kserve.io/v1beta1", "InferenceService", "inferenceservices")
CRD_NAME = "inferenceservices.serving.kserve.io"
CRD = {
    "metadata": {"name": CRD_NAME},
    "spec": {
        "group": "serving.kserve.io",
        "scope": "Namespaced",
        "names": {"kind": "InferenceService", "plural": "inferenceservices", "singular": "inferenceservice"},
        "versions": [
            {
                "name": "v1beta1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
            }
        ],
    },
}
IN_FLIGHT = 32
console = Console()


def inference_service(n: int) -> dict[str, Any]:
    """Return an ISVC as the operator would make it, 2.3 KB once the server has added its part."""
    name = f"model-{n}"
    return {
        "metadata": {
            "name": f"{name}-v1-0",
            "labels": {
                "disvc": name,
                "disvc.group": f"{name}-v1",
                "app": f"isvc.{name}-v1-0-predictor",
                "component": "predictor",
                "serving.kserve.io/inferenceservice": f"{name}-v1-0",
            },
            "annotations": {
                "serving.kserve.io/autoscalerClass": "none",
                "serving.kserve.io/deploymentMode": "RawDeployment",
            },
            "ownerReferences": [
                {
                    "apiVersion": "serving.kserve.io/v1alpha1",
                    "kind": "DistributedInferenceService",
                    "name": name,
                    "uid": f"{n:08d}-0000-4000-8000-000000000000",
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "spec": {
            "predictor": {
                "model": {
                    "modelFormat": {"name": "sklearn"},
                    "protocolVersion": "v2",
                    "runtime": "kserve-sklearnserver",
                    "storageUri": "gs://kfserving-examples/models/sklearn/1.0/model",
                    "args": [f"--model_name={name}"],
                    "env": [{"name": f"SETTING_{i}", "value": "x" * 20} for i in range(10)],
                }
            }
        },
    }


async def load(plane: ControlPlane, objects: int) -> None:
    """Create the objects, some at a time."""
    async with connect(plane.admin.kubeconfig) as transport:
        client = Client(transport)
        await client.create(CRDS, CRD)
        for n in range(50):
            await client.create(NAMESPACES, {"metadata": {"name": f"bench-{n}"}})
        await plane.kubectl("wait", "--for=condition=Established", f"crd/{CRD_NAME}")
        numbers = iter(track(range(objects), description=f"creating {objects} objects", console=console))

        async def create() -> None:
            for n in numbers:
                await client.create(ISVCS, inference_service(n), f"bench-{n % 50}")

        async with asyncio.TaskGroup() as group:
            for _ in range(IN_FLIGHT):
                group.create_task(create())


def measured(*command: str | Path) -> dict[str, Any]:
    """Run a contender, return what it prints."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{done.stderr[-2000:]}")
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def main() -> None:
    """Build the peer, load a server, let all contenders take turns, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ControlPlane() as plane:
        peer = Path(folder) / "bench"
        console.print("building client-go's side …")
        subprocess.run(["go", "build", "-o", peer, "."], cwd=HERE / "go", check=True)
        asyncio.run(load(plane, options.objects))
        kubeconfig = plane.admin.kubeconfig
        contenders: dict[str, tuple[str | Path, ...]] = {
            "disvc.runtime, whole objects": (sys.executable, HERE / "sync.py", kubeconfig, "whole"),
            "disvc.runtime, without managedFields": (sys.executable, HERE / "sync.py", kubeconfig, "slim"),
            "client-go dynamic, whole objects": (peer, "sync", kubeconfig, "dynamic"),
            "client-go metadata only": (peer, "sync", kubeconfig, "metadata"),
        }
        results: dict[str, list[dict[str, Any]]] = {name: [] for name in contenders}
        for _ in track(range(options.rounds), description="synchronising", console=console):
            for name, command in contenders.items():
                results[name].append(measured(*command))
        table = Table("first synchronisation", "objects", "seconds", "KB an object", "MB grown", "MB peak")
        for name, rounds in results.items():
            median = {figure: statistics.median(r[figure] for r in rounds) for figure in rounds[0]}
            table.add_row(
                name,
                f"{median['objects']:.0f}",
                f"{median['seconds']:.2f}",
                f"{median['bytes'] / median['objects'] / 1000:.2f}",
                f"{median['bytes'] / 1e6:.0f}",
                f"{median['peak'] / 1e6:.0f}",
            )
        console.print(table)
        queue = measured(peer, "queue")
        console.print("client-go's queue, keys a second:", {k: f"{v:,.0f}" for k, v in queue.items()})
    subprocess.run([sys.executable, HERE / "workqueue.py"], check=True)


if __name__ == "__main__":
    main()
