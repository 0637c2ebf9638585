"""What claims are tested with: canaries, and lower bounds on epsilon from guessing which of them were in."""
