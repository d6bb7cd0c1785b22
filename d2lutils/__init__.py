"""What the notebooks of *Normalize, Skip, Concatenate* share.

Import it before MXNet: it gives MXNet its threads, then switches the NumPy interface on.
"""

import sys

from .runtime import import_mxnet, quick_or_full, seed_everything, set_threads

# For `python -m d2lutils` Python imports the package first, with "-m" in this place. The report
# must run where MXNet does not, and sets up for itself.
if sys.argv[:1] != ["-m"]:
    set_threads()
    import_mxnet()
