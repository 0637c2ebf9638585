"""Both sides in one process: engines, the shop, studies and reports."""
