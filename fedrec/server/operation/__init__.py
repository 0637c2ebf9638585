"""Running a server: set up, started, watched, backed up; `fedrec server init`, `up` and what goes with them."""
