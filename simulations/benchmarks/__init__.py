"""Studies and measurements that are too long for the test suite; each writes how its figures were made."""
