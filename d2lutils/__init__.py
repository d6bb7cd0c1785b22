"""The code that the notebooks of *Normalize, Skip, Concatenate* share.

Import it before MXNet: it sets the number of threads, then switches on the NumPy interface.
"""

import sys

from .runtime import import_mxnet, quick_or_full, seed_everything, set_threads

# `python -m d2lutils` imports the package first, and sys.argv[0] is "-m" until Python has found
# what to run. Then MXNet is not imported: the report must work where MXNet does not.
if sys.argv[:1] != ["-m"]:
    set_threads()
    import_mxnet()
    from .data import batches, fashion_mnist
    from .densenet import DenseBlock, conv_block, densenet, transition_block
    from .lenet import lenet
    from .norm import BatchNorm, batch_norm, batch_norm_backward
    from .resnet import Residual, resnet18, small_resnet
    from .training import History, evaluate, fit
