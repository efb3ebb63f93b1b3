"""What to type to play with a cluster that stays up."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from kserve.protocol.grpc.grpc_predict_v2_pb2 import DESCRIPTOR

from disvc.local.demo.clients import request
from disvc.local.models import EXAMPLE_ROWS

if TYPE_CHECKING:
    from disvc.local.cluster import LocalCluster


def hints(cluster: LocalCluster) -> str:
    """Return lines for a shell: kubectl, curl and grpcurl. Writes the file with gRPC's messages that grpcurl needs."""
    ports, namespace, folder = cluster.ingress.ports, cluster.namespace, cluster.plane.folder
    protocol = folder / "grpc_predict_v2.protoset"
    messages = FileDescriptorSet()
    messages.file.add().ParseFromString(DESCRIPTOR.serialized_pb)
    protocol.write_bytes(messages.SerializeToString())
    plain = f"{ports.address}:{ports.http}"
    body = json.dumps(request(EXAMPLE_ROWS))
    contents = {"fp64_contents": [number for row in EXAMPLE_ROWS for number in row]}
    tensor = {"name": "rows", "datatype": "FP64", "shape": [len(EXAMPLE_ROWS), 4], "contents": contents}
    call = json.dumps({"model_name": "iris-grpc", "inputs": [tensor]})
    method = "inference.GRPCInferenceService/ModelInfer"
    return "\n".join(
        [
            f"export KUBECONFIG={cluster.plane.admin.kubeconfig}",
            f"kubectl -n {namespace} get disvc,isvc,pods,services,ingress",
            f"kubectl -n {namespace} describe disvc iris-rest",
            f"kubectl -n {namespace} logs -l disvc=iris-rest --prefix --tail=2",
            f"kubectl -n {namespace} scale disvc/iris-rest --replicas=3",
            "",
            (
                f"curl -i http://{plain}/v2/models/iris-rest/infer -H 'Host: iris-rest-{namespace}.example.com' "
                f"-H 'Content-Type: application/json' -d '{body}'"
            ),
            (
                f"curl -i -x http://{plain} http://iris-rest.{namespace}.svc.cluster.local/v2/models/iris-rest/infer "
                f"-H 'Content-Type: application/json' -d '{body}'"
            ),
            "",
            (
                f"grpcurl -plaintext -authority iris-grpc.{namespace}.svc.cluster.local -protoset {protocol} "
                f"-d '{call}' {plain} {method}"
            ),
            (
                f"grpcurl -cacert {folder / 'grpc-tls' / 'demo-ca.crt'} -authority iris-grpc-{namespace}.example.com "
                f"-protoset {protocol} -d '{call}' {ports.address}:{ports.https} {method}"
            ),
            "",
            f"Logs of pods: {cluster.host.folder}; of requests: {cluster.ingress.access_log}",
        ]
    )
