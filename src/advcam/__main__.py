"""``python -m advcam`` is the command line."""

import sys

from advcam.cli import main

sys.exit(main())
