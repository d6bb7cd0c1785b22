"""Hints that several lessons share."""

ROOT = "Epsilon belongs under the root: sqrt(var + eps), not sqrt(var) + eps."
NO_EPS = "eps has no effect: add it to the variance, under the root."
NO_ROOT = "Divide by the root of the variance, not by the variance itself."
BIASED = (
    "For the variance, divide by the number of values, not by one less: these layers use the "
    "biased variance."
)
HIDDEN = (
    "The output is right, but its gradient is not: is something hidden from autograd, or is var() "
    "used? (The gradient of MXNet's var() is zero.)"
)
UNREACHED = (
    "No gradient flows back to {}: is something detached, computed under pause(), or converted to "
    "NumPy on the way?"
)
UNCALLED = "(Call is_training(): without its brackets it is a function, which counts as true.)"
OWN_BATCH = (
    "This normalizes with the batch's own mean and variance. Prediction mode needs the running "
    f"statistics. {UNCALLED}"
)
PAUSED = "No gradient goes through the running statistics: update them under autograd.pause()."
UNSAVED = "Anything that is not a parameter is not saved."
REVERSED = "Momentum is the weight of the old value; the new value has the weight 1 - momentum."
