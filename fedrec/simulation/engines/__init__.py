"""Engines: how a simulated run reaches its devices. They differ in speed and in what they exercise, not in results."""
