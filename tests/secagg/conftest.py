"""Makes ``secagg_cases`` importable from the tests of this folder and below."""
