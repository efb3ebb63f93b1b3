"""Writes the files that are made from the code; `make generate`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from disvc.api.crd import crd

CRD = Path(__file__).parents[1] / "config/crd/bases/serving.kserve.io_distributedinferenceservices.yaml"
HEADER = "# Made by `make generate` from disvc/api. Do not edit.\n"


class _Dumper(yaml.SafeDumper):
    """Writes what occurs twice twice: few people read YAML's anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def crd_file() -> str:
    """Return the text of the file of the CustomResourceDefinition."""
    return HEADER + yaml.dump(crd(), Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)


if __name__ == "__main__":
    CRD.write_text(crd_file())
