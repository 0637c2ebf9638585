"""Attacks on what devices send and on what is released, as pure functions of arrays and models."""
