"""What the claims are tested with: attacks, canaries, and lower bounds on epsilon from guessing which were in."""
