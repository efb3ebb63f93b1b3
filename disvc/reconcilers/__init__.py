"""The operator: four reconcilers, coordinated by owner references and by the phase recorded on the DISVC.

    status ──records phase, active and target revision──► DISVC ──► inferenceservice, service, ingress
       ▲                                                                        │
       └────────────── caches ◄── API server ◄── members, Services, Ingress ◄───┘

Each of the three brings its own kind in line with the recorded phase (`disvc.rollout.plan`), and touches no other;
`status` decides when the phase changes (`disvc.rollout.machine`). `add_to_manager` puts them into a manager.
"""

from disvc.reconcilers.embedding import add_to_manager

__all__ = ["add_to_manager"]
