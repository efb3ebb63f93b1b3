"""The types of `DistributedInferenceService`, serving.kserve.io/v1alpha1. Start at `types`."""
