"""The shared two-tower model: item encoders, fusion, the user tower, losses, and the flat vector of what is shared.

Everything here is separable by row: the first dimension of every tensor is the privacy unit, no layer mixes two of
them, and a row's gradient is the gradient of that row alone.  What bounds and noises those gradients lies above, in
``fedrec.training``.
"""
