"""Pages in a browser, on loopback and behind a one-time link: an operator's runs, and what a device knows and shows."""
