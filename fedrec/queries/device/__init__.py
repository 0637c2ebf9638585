"""The device's half of each query: from its users to a bounded contribution. The server never imports it."""
