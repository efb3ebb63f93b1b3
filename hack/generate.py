"""Writes the files that are made from the code; `make generate`."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import yaml

from disvc.api.crd import crd

ROOT = Path(__file__).parents[1]
CRD = ROOT / "config/crd/bases/serving.kserve.io_distributedinferenceservices.yaml"
GO_TYPES = ROOT / "disvc/testing/memory/builtin/gotypes.json"
HEADER = "# Made by `make generate` from disvc/api. Do not edit.\n"


class _Dumper(yaml.SafeDumper):
    """Writes what occurs twice twice: few people read YAML's anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def crd_file() -> str:
    """Return the text of the file of the CustomResourceDefinition."""
    return HEADER + yaml.dump(crd(), Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)


def go_types_file() -> str:
    """Return the text of the table of the API's Go types; needs Go, and the modules that the real servers are built of.

    Raises `subprocess.CalledProcessError` when Go fails, which says why on stderr.
    """
    module = ROOT / "disvc/testing/binaries/kubernetes"
    command = ["go", "run", "-C", str(module), str(ROOT / "hack/gotypes/main.go")]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


if __name__ == "__main__":
    CRD.write_text(crd_file())
    GO_TYPES.write_text(go_types_file())
