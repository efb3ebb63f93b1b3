"""A simulated KServe v0.20 with a kubelet, to test operators of InferenceServices on a real kube-apiserver.

Start at `SimulatedKServe`; `behaviour` says what may become of an ISVC. In pytest, the fixture `kserve` gives one that
runs. What is simulated, and how faithfully, is told by the tests in test/integration/test_simulated_kserve*.py.
"""

from disvc.testing.kserve.behaviour import (
    Behaviour,
    Crash,
    Flapping,
    Healthy,
    ImageNotPulled,
    InitFailure,
    OutOfMemory,
    Silent,
    UnknownRuntime,
    UnsupportedStorage,
)
from disvc.testing.kserve.crd import install
from disvc.testing.kserve.resources import INFERENCE_SERVICES
from disvc.testing.kserve.routing import Domain
from disvc.testing.kserve.runtimes import ServingRuntime
from disvc.testing.kserve.simulated import SimulatedKServe

__all__ = [
    "INFERENCE_SERVICES",
    "Behaviour",
    "Crash",
    "Domain",
    "Flapping",
    "Healthy",
    "ImageNotPulled",
    "InitFailure",
    "OutOfMemory",
    "ServingRuntime",
    "Silent",
    "SimulatedKServe",
    "UnknownRuntime",
    "UnsupportedStorage",
    "install",
]
