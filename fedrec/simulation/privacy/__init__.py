"""The commands of ``fedrec privacy``: plan a budget, state and verify what was spent, and test claims by attack."""
