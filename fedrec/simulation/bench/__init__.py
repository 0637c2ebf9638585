"""Measures of speed behind ``fedrec bench``."""
