"""The server: rounds, durable state, and a signed release."""
