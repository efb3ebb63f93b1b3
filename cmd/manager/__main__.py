"""The operator: `python cmd/manager`, or `disvc-manager` where disvc is installed."""

from disvc.cli.manager import main

main()
