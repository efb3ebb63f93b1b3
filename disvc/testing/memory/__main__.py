"""`python -m disvc.testing.memory`: see `playground`. What it needs is imported here, so that this ends in one line."""

from __future__ import annotations

import sys

from disvc.testing.extra import MissingExtra, require


def _main() -> None:
    try:
        require("testing", "A Kubernetes API server in memory")
        from disvc.testing.memory.playground import main
    except MissingExtra as error:
        sys.exit(str(error))
    main()


if __name__ == "__main__":
    _main()
