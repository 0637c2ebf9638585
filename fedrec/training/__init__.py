"""What a device does with what it knows: rows, clipped gradient sums, contributions to private sums, and the
personalisation of what never leaves it. The server never imports this package.
"""
