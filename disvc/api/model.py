"""The base of the API's types: camelCase on the wire, strict about what the code writes, lenient about what it reads.

What a newer version of the API has added is passed over when an object is read: the CRD is where bad input is
refused (see `crd`). The docstrings of types and fields are the descriptions that `kubectl explain` shows.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


def _wire_name(name: str) -> str:
    return to_camel(name).replace("Ttl", "TTL")  # as in a Job's ttlSecondsAfterFinished: an initialism has one case


class Model(BaseModel):
    """One type of the API. Values cannot be changed; `model_copy(update=...)` makes another one."""

    model_config = ConfigDict(
        alias_generator=_wire_name,
        populate_by_name=True,
        frozen=True,
        extra="ignore",
        use_attribute_docstrings=True,
    )
