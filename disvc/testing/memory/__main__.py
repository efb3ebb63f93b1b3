"""`python -m disvc.testing.memory`: see `playground`. What it needs is imported here, so that this ends in one line."""

from __future__ import annotations

import sys


def _main() -> None:
    try:
        from disvc.testing.extra import MissingExtra, require

        try:
            require("testing", "A Kubernetes API server in memory")
        except MissingExtra as error:
            sys.exit(str(error))
        from disvc.testing.memory.playground import main
    except KeyboardInterrupt:
        sys.exit(130)
    main()


if __name__ == "__main__":
    _main()
