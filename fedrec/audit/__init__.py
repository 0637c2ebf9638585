"""What the claims are tested with: attacks on them, and the empirical epsilon."""
