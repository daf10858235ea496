"""The verbs that are no stage of a run: they read a run folder, or need none."""
