"""Hints that more than one lesson gives."""

ROOT = "Epsilon belongs under the root: sqrt(var + eps), not sqrt(var) + eps."
NO_EPS = "eps has no effect yet: add it under the root."
NO_ROOT = "Divide by the root of the variance."
BIASED = "Divide by the number of values, not by one less: these layers use the biased variance."
HIDDEN = (
    "The output is right, its gradient is not: is something hidden from autograd, or var() used?"
)
UNREACHED = "Nothing goes back to {}: is it detached, paused, or made NumPy's on the way?"
UNCALLED = "(A function without its brackets, is_training, is always true.)"
OWN_BATCH = f"Prediction normalizes with its own batch now. {UNCALLED}"
PAUSED = "The averages are no part of the gradient: write them under autograd.pause()."
UNSAVED = "What is not a parameter is not saved."
REVERSED = "Momentum is the weight of the old value, 1 - momentum that of the new."
