"""Defaults that do not depend on anything: by definition, by field, set where there is nothing.

From the `SetDefaults_…` functions in pkg/apis/*/v1/defaults.go, and the `+default` markers of k8s.io/api.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["CONSTANTS"]

_CORE: Final = "io.k8s.api.core.v1"
_APPS: Final = "io.k8s.api.apps.v1"
_ADMISSION: Final = "io.k8s.api.admissionregistration.v1"
_NETWORKING: Final = "io.k8s.api.networking.v1"

_FILE_MODE: Final = {"defaultMode": 0o644}
_AZURE_DISK: Final = {"cachingMode": "ReadWrite", "fsType": "ext4", "readOnly": False, "kind": "Shared"}
_RBD: Final = {"pool": "rbd", "user": "admin", "keyring": "/etc/ceph/keyring"}
_WEBHOOK: Final = {
    "failurePolicy": "Fail",
    "matchPolicy": "Equivalent",
    "namespaceSelector": {},
    "objectSelector": {},
    "timeoutSeconds": 10,
}

CONSTANTS: Final[Mapping[str, Mapping[str, Any]]] = {
    f"{_CORE}.AzureDiskVolumeSource": _AZURE_DISK,
    f"{_CORE}.ConfigMapVolumeSource": _FILE_MODE,
    f"{_CORE}.Container": {"terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File"},
    f"{_CORE}.ContainerPort": {"protocol": "TCP"},
    f"{_CORE}.DownwardAPIVolumeSource": _FILE_MODE,
    f"{_CORE}.EndpointPort": {"protocol": "TCP"},
    f"{_CORE}.EphemeralContainer": {
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
    },
    f"{_CORE}.FileKeySelector": {"optional": False},
    f"{_CORE}.GRPCAction": {"service": ""},
    f"{_CORE}.HTTPGetAction": {"path": "/", "scheme": "HTTP"},
    f"{_CORE}.HostPathVolumeSource": {"type": ""},
    f"{_CORE}.ISCSIVolumeSource": {"iscsiInterface": "default"},
    f"{_CORE}.NamespaceStatus": {"phase": "Active"},
    f"{_CORE}.ObjectFieldSelector": {"apiVersion": "v1"},
    f"{_CORE}.PersistentVolumeClaimSpec": {"volumeMode": "Filesystem"},
    f"{_CORE}.PersistentVolumeClaimStatus": {"phase": "Pending"},
    f"{_CORE}.PersistentVolumeSpec": {"persistentVolumeReclaimPolicy": "Retain", "volumeMode": "Filesystem"},
    f"{_CORE}.PersistentVolumeStatus": {"phase": "Pending"},
    f"{_CORE}.PodSpec": {
        "dnsPolicy": "ClusterFirst",
        "restartPolicy": "Always",
        "securityContext": {},
        "terminationGracePeriodSeconds": 30,
        "schedulerName": "default-scheduler",
    },
    f"{_CORE}.Probe": {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3},
    f"{_CORE}.ProjectedVolumeSource": _FILE_MODE,
    f"{_CORE}.RBDVolumeSource": _RBD,
    f"{_CORE}.ScaleIOVolumeSource": {"storageMode": "ThinProvisioned", "fsType": "xfs"},
    f"{_CORE}.Secret": {"type": "Opaque"},
    f"{_CORE}.ReplicationControllerSpec": {"replicas": 1},
    f"{_CORE}.SecretVolumeSource": _FILE_MODE,
    f"{_CORE}.ServiceAccountTokenProjection": {"expirationSeconds": 3600},
    f"{_APPS}.DeploymentSpec": {"replicas": 1, "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600},
    f"{_APPS}.DeploymentStrategy": {"type": "RollingUpdate"},
    f"{_APPS}.RollingUpdateDeployment": {"maxUnavailable": "25%", "maxSurge": "25%"},
    f"{_APPS}.DaemonSetSpec": {"revisionHistoryLimit": 10},
    f"{_APPS}.DaemonSetUpdateStrategy": {"type": "RollingUpdate"},
    f"{_APPS}.RollingUpdateDaemonSet": {"maxUnavailable": 1, "maxSurge": 0},
    f"{_APPS}.ReplicaSetSpec": {"replicas": 1},
    f"{_APPS}.StatefulSetSpec": {
        "podManagementPolicy": "OrderedReady",
        "persistentVolumeClaimRetentionPolicy": {},
        "replicas": 1,
        "revisionHistoryLimit": 10,
    },
    f"{_APPS}.StatefulSetPersistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
    "io.k8s.api.batch.v1.CronJobSpec": {
        "concurrencyPolicy": "Allow",
        "suspend": False,
        "successfulJobsHistoryLimit": 3,
        "failedJobsHistoryLimit": 1,
    },
    "io.k8s.api.batch.v1.PodFailurePolicyOnPodConditionsPattern": {"status": "True"},
    "io.k8s.api.discovery.v1.EndpointPort": {"name": "", "protocol": "TCP"},
    f"{_NETWORKING}.NetworkPolicyPort": {"protocol": "TCP"},
    f"{_NETWORKING}.IngressClassParametersReference": {"scope": "Cluster"},
    f"{_ADMISSION}.ValidatingWebhook": _WEBHOOK,
    f"{_ADMISSION}.MutatingWebhook": {**_WEBHOOK, "reinvocationPolicy": "Never"},
    f"{_ADMISSION}.RuleWithOperations": {"scope": "*"},
    f"{_ADMISSION}.ServiceReference": {"port": 443},
    "io.k8s.api.autoscaling.v1.HorizontalPodAutoscalerSpec": {"minReplicas": 1},
    "io.k8s.api.autoscaling.v2.HorizontalPodAutoscalerSpec": {"minReplicas": 1},
    "io.k8s.api.scheduling.v1.PriorityClass": {"preemptionPolicy": "PreemptLowerPriority"},
    "io.k8s.api.storage.v1.StorageClass": {"reclaimPolicy": "Delete", "volumeBindingMode": "Immediate"},
}
