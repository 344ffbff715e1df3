"""The torch engine: models, data sets, probes and the process that runs them. No Qt anywhere."""
