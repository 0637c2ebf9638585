"""Makes ``malice`` importable from the tests of this folder."""
