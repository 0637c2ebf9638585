"""A device: its store, what it lets itself be asked, and its answers."""
