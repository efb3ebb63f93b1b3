"""The controller library: informers, queues, controllers, managers. To Python what controller-runtime is to Go.

    connect() ─► Manager ─► Controller ─► your Reconciler
                   │  └───► Cache        (what is known; never older than own writes)
                   └──────► Client       (reads and writes at the server)

It knows nothing of any particular resource. Start at `Manager` and `Controller`; an event's way is told in
`docs/explanation/how-an-event-flows.md`.
"""

from disvc.runtime.cache import Cache
from disvc.runtime.client import Client, ObjectList
from disvc.runtime.controller import Controller, Reconciler, Result, Watch
from disvc.runtime.delta import Delta
from disvc.runtime.environment import Clock, Environment, SystemClock
from disvc.runtime.errors import (
    AlreadyExists,
    AnswerLost,
    ApiError,
    ConfigurationError,
    Conflict,
    DecodeError,
    Expired,
    Forbidden,
    Invalid,
    LeadershipLost,
    NotFound,
    RuntimeFailure,
    TerminalError,
    TooManyRequests,
    TransportError,
    Unreachable,
)
from disvc.runtime.leader_election import LeaderElection
from disvc.runtime.logs import configure_logging
from disvc.runtime.manager import Manager, Runnable
from disvc.runtime.metrics import Metrics
from disvc.runtime.objects import Key, Metadata, Object, OwnerReference, Request, Resource
from disvc.runtime.process import connect, run
from disvc.runtime.selection import Selection, drop_managed_fields

__all__ = [
    "AlreadyExists",
    "AnswerLost",
    "ApiError",
    "Cache",
    "Client",
    "Clock",
    "ConfigurationError",
    "Conflict",
    "Controller",
    "DecodeError",
    "Delta",
    "Environment",
    "Expired",
    "Forbidden",
    "Invalid",
    "Key",
    "LeaderElection",
    "LeadershipLost",
    "Manager",
    "Metadata",
    "Metrics",
    "NotFound",
    "Object",
    "ObjectList",
    "OwnerReference",
    "Reconciler",
    "Request",
    "Resource",
    "Result",
    "Runnable",
    "RuntimeFailure",
    "Selection",
    "SystemClock",
    "TerminalError",
    "TooManyRequests",
    "TransportError",
    "Unreachable",
    "Watch",
    "configure_logging",
    "connect",
    "drop_managed_fields",
    "run",
]
