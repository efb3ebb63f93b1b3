"""The kinds of objects that sequences are about: what a random object of each looks like."""

from __future__ import annotations

from differential.kinds.core import CONFIG_MAP, LEASE, REVISION, SECRET
from differential.kinds.custom import DISVC, ISVC, WIDGET
from differential.kinds.kind import Kind
from differential.kinds.network import ENDPOINT_SLICE, INGRESS, SERVICE
from differential.kinds.workload import DEPLOYMENT

__all__ = ["KINDS", "Kind"]

KINDS = (CONFIG_MAP, SECRET, SERVICE, DEPLOYMENT, LEASE, ENDPOINT_SLICE, INGRESS, REVISION, WIDGET, DISVC, ISVC)
