"""What a person should look at first, what was decided, and what was corrected."""
