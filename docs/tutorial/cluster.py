"""A Kubernetes control plane on this machine, without Docker, until Ctrl-C."""

import shutil
import signal
from contextlib import suppress

from disvc.testing.controlplane import ControlPlane

with suppress(KeyboardInterrupt), ControlPlane(controller_manager=True) as plane:
    shutil.copy(plane.admin.kubeconfig, "kubeconfig")
    print("a cluster runs until Ctrl-C; its kubeconfig is ./kubeconfig", flush=True)
    signal.pause()
