"""What reports and pages share: escaping templates, and one style sheet for light, dark, wide and narrow."""
