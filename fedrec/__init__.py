"""The fedrec library: no Flower, no network; see the README for the tree."""
