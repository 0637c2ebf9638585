"""The device: its event store becomes contributions to private sums, and it ranks for itself, offline."""
