"""Attacks on this project by itself: each is run without a defence and with each, and says how far it got."""
