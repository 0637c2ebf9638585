"""Secure aggregation: how contributions are written as whole numbers so that sums are exact.

Nothing here knows what a vector means.  `ring` turns bounded real vectors into numbers of a ring and back.
"""
