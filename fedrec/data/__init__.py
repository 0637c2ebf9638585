"""What a device knows: events, notes and photos in its own SQLite store, and the readers, splits and store writers that
turn a public data set into such devices for simulations. Nothing in this folder sends anything anywhere."""
