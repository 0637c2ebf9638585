"""What `import fedrec` offers, and the command line calls: see the package's own docstring for the names."""
