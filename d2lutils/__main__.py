"""The environment report: `python -m d2lutils`."""

import sys

from .runtime import report

sys.exit(not report())
