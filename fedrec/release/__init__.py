"""Step 8: the release, a signed directory with everything that a device needs to rank for itself, and a model card."""
