"""The self-contained HTML report of a run, and masks and maps drawn over their images."""
