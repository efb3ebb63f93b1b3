"""What the server does with the schemas of CustomResourceDefinitions: pure functions, none of which knows of requests.

Defaulting, pruning and validation follow k8s.io/apiextensions-apiserver, cause for cause.
"""

from disvc.testing.memory.structural.defaulting import default, drop_nulls
from disvc.testing.memory.structural.pruning import prune
from disvc.testing.memory.structural.validation import Validator

__all__ = ["Validator", "default", "drop_nulls", "prune"]
