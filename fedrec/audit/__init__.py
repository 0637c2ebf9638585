"""What the claims are tested with: attacks on them, canaries, and lower bounds on epsilon from guessing which were in."""
