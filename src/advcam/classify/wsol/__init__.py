"""Training for localization: the methods of the WSOL benchmark, one file each."""
