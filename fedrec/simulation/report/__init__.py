"""The report of a run: one self-contained HTML file that works offline, from ``run.json`` and ``events.jsonl``."""
