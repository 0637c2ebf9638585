"""Secure aggregation (SecAgg+): the server opens sums, never a device's contribution.

Pure state machines over bytes and arrays, for a device (`device`) and for the server (`server`), and the pieces they are
made of; ``docs/secure-aggregation.md`` has the protocol, what it guarantees and what it does not.
"""
