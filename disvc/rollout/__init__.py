"""What a DistributedInferenceService should be, decided by pure functions: no I/O, no clock. Start at `machine`."""
