"""The server: it asks devices for private sums, opens them, and publishes signed releases."""
