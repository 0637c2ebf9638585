"""A device's own directory: set up from an invite, kept up to date from signed files; `fedrec device init` and `up`."""
