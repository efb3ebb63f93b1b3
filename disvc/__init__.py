"""DistributedInferenceService for KServe, and the controller library it is built on (`disvc.runtime`)."""
