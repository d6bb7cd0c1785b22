"""Checks that lessons 01 and 02 share: normalizing functions, and repaired layers of the zoos."""

import copy
import inspect
import tempfile

import numpy
from mxnet import autograd
from mxnet.gluon import nn

from .engine import by_position
from .reference import affine, float64, gradients, normalize, single
from .words import (
    BIASED,
    HIDDEN,
    NO_EPS,
    NO_ROOT,
    OWN_BATCH,
    PAUSED,
    REVERSED,
    ROOT,
    UNREACHED,
    UNSAVED,
)

EPS, MOMENTUM = 1e-5, 0.9  # the defaults of a layer
CHANNELS = 3  # of the layers under test
NEW = (
    "Every new layer starts with gamma 1, beta 0, running mean 0 and running variance 1, and it "
    "divides by sqrt(var + eps)."
)
BATCHES = (  # rows, mean, standard deviation, and the hint if all batches before were right
    (
        16,
        5,
        3,
        "In training mode, subtract the batch's own mean, divide by the root of its variance plus "
        "epsilon, then apply gamma and beta.",
    ),
    (
        16,
        0,
        0.0003,
        "These numbers hardly vary, so epsilon matters here: the default epsilon is 1e-5.",
    ),
    (
        5,
        -3,
        2,
        "It was right for 16 rows, and here are 5. What in the code depends on the number of rows?",
    ),
    (9, 2, 4, "It was right for the batches before. What does the layer keep from them?"),
)
RECORDED = "record(train_mode=False)"
RECORDING = "Recording is not training: ask autograd.is_training(), not autograd.is_recording()."
CONTEXTS = {  # name: (context, whether it is training mode)
    "a plain call": (autograd.pause, False),
    "record()": (autograd.record, True),
    RECORDED: (lambda: autograd.record(train_mode=False), False),
    "train_mode()": (autograd.train_mode, True),
}


# --- functions ---


def slips(X_hat, std, eps, m):
    """Hints for normalized values with a wrong divisor; m: how many numbers share a mean."""
    centred, plain = X_hat * std, numpy.sqrt(std**2 - eps)
    unbiased = numpy.sqrt((std**2 - eps) * m / (m - 1) + eps) if m > 1 else std
    return [
        (ROOT, centred / (plain + eps)),
        (BIASED, centred / unbiased),
        (NO_EPS, centred / plain),
        (NO_ROOT, centred / std**2),
    ]


def unscaled(X_hat, gamma, beta):
    """Hints for outputs in which gamma or beta is missing or misused."""
    return [
        ("gamma and beta have no effect: multiply by gamma, then add beta.", X_hat),
        ("beta is missing: add it at the end.", affine(X_hat, gamma, 0 * beta)),
        ("gamma is missing: multiply by it, then add beta.", affine(X_hat, gamma**0, beta)),
        ("beta is added, not subtracted.", affine(X_hat, gamma, -beta)),
        ("Multiply by gamma, not by its square: its sign counts.", affine(X_hat, gamma**2, beta)),
        (
            "Multiply by gamma, not by its absolute value: its sign counts.",
            affine(X_hat, abs(gamma), beta),
        ),
        ("gamma multiplies, beta is added, not the other way round.", affine(X_hat, beta, gamma)),
    ]


def has_gradients(trial, found, expected, here=""):
    """Compare the gradients with respect to X, gamma and beta, in training mode."""
    for name, its, right in zip(("the input", "gamma", "beta"), found, expected):
        what = f"autograd finds the gradient with respect to {name}{here}"
        hint = HIDDEN if name == "the input" else f"Is {name} used where autograd records?"
        its = by_channel(trial, what, its, right)
        trial.equal(what, its, right, hint, [(UNREACHED.format(name), 0 * right)])


def by_channel(trial, what, value, right):
    """A learner's numbers in the shape of `right`, (1, C) or (1, C, 1, 1); (C,) is allowed."""
    found = trial.array(what, value, shape=None)
    flat = found.shape == (right.size,)
    return found.reshape(right.shape) if flat and right.size == max(right.shape) else found


# --- layers ---


class Norm:
    """Batch normalization of (N, C) in float64, with parameters and statistics of a new layer."""

    def __init__(self, eps=EPS, momentum=MOMENTUM):
        self.eps, self.momentum = eps, momentum
        self.gamma, self.beta = numpy.ones(CHANNELS), numpy.zeros(CHANNELS)
        self.mean, self.var = numpy.zeros(CHANNELS), numpy.ones(CHANNELS)

    def train(self, X):
        """The output of a training step, which changes the running statistics."""
        x = float64(X)
        self.mean = self.momentum * self.mean + (1 - self.momentum) * x.mean(axis=0)
        self.var = self.momentum * self.var + (1 - self.momentum) * x.var(axis=0)
        return self.normalized(X)

    def normalized(self, X):
        """The output for a batch that is normalized with its own mean and variance."""
        return self.affine(normalize(X, (0,), self.eps)[0])

    def affine(self, X_hat):
        return self.gamma * X_hat + self.beta

    def predict(self, X, **others):
        """The output in prediction mode; predict(X, mean=0) has 0 in place of the running mean."""
        n = {**vars(self), **others}
        return n["gamma"] * (float64(X) - n["mean"]) / numpy.sqrt(n["var"] + n["eps"]) + n["beta"]

    def drifted(self, X):
        """Hints for the output in prediction mode if predicting X changes running statistics."""
        moved = copy.copy(self)
        moved.train(X)
        half = "In prediction mode the running {} stays as it is; the running {} still changes."
        return [
            ("A prediction changes the statistics. Only training may do that.", moved.predict(X)),
            (half.format("variance", "mean"), self.predict(X, mean=moved.mean)),
            (half.format("mean", "variance"), self.predict(X, var=moved.var)),
            (OWN_BATCH, self.normalized(X)),
        ]

    def unmoved(self, X, still):
        """Hints for the output in prediction mode with running statistics of a new layer."""
        fresh = Norm()
        half = "The running {} is right; the running {} is not: it is {}, as in a new layer."
        return [
            (still, self.predict(X, mean=fresh.mean, var=fresh.var)),
            (half.format("mean", "variance", 1), self.predict(X, var=fresh.var)),
            (half.format("variance", "mean", 0), self.predict(X, mean=fresh.mean)),
            (OWN_BATCH, self.normalized(X)),
        ]


def trained(
    trial,
    layer_class,
    from_zero="The running variance must start at one, not at zero.",
    first_batch=BATCHES[0][-1],
    still="The running statistics do not change: in training mode, write into the arrays of "
    "the parameters, with [:] = or set_data. (Under pause(), is_training() is False.)",
):
    """Train a learner's layer for (N, C) for a few steps, and compare everything that it computes.

    The hints for three mistakes: from_zero, a running variance that starts at 0; first_batch, a
    wrong output in the first training step; still, running statistics that do not change. Returns
    the layer, the `Norm` that it agrees with, and an input.
    """
    X, norm = trial.normal(8, CHANNELS, mean=1), Norm()
    layer = trial.build(layer_class, CHANNELS)
    for _ in range(2):
        trial.equal(
            "a new layer leaves its input unchanged in prediction mode, twice",
            trial.forward(layer, X),
            norm.predict(X),
            NEW,
            [
                (from_zero, norm.predict(X, var=0)),
                ("gamma must start at one, not at zero.", norm.predict(X, gamma=0)),
                ("The running mean must start at zero, not at one.", norm.predict(X, mean=1)),
                *norm.drifted(X),
            ],
        )
    set_gamma_and_beta(trial, layer, norm)
    trial.equal(
        "in prediction mode gamma scales and beta shifts, channel by channel",
        trial.forward(layer, X),
        norm.predict(X),
        "Multiply the normalized values by gamma, then add beta.",
        unscaled(norm.predict(X, gamma=1, beta=0), norm.gamma, norm.beta),
    )
    batches = (*BATCHES[0][:-1], first_batch), *BATCHES[1:]
    seen = [_step(trial, layer, norm, *batch) for batch in batches]
    reversed_norm, unbiased = Norm(), Norm()
    for x in seen:
        n = len(x)
        reversed_norm.mean = 0.1 * reversed_norm.mean + 0.9 * x.mean(axis=0)
        reversed_norm.var = 0.1 * reversed_norm.var + 0.9 * x.var(axis=0)
        unbiased.var = 0.9 * unbiased.var + 0.1 * x.var(axis=0) * n / (n - 1)
    trial.equal(
        "after training, prediction mode uses the running statistics",
        trial.forward(layer, X),
        norm.predict(X),
        "Each training step should set the running mean to 0.9 times its old value plus 0.1 times "
        "the mean of the batch, and the running variance likewise.",
        [
            *norm.unmoved(X, still),
            (from_zero, norm.predict(X, var=norm.var - MOMENTUM ** len(seen))),
            (REVERSED, norm.predict(X, mean=reversed_norm.mean, var=reversed_norm.var)),
            (BIASED, norm.predict(X, var=unbiased.var)),
        ],
    )
    return layer, norm, X


def set_gamma_and_beta(trial, layer, norm):
    """Give a layer and its `Norm` the same random gamma and beta; raise Wrong if it has none."""
    gammas, betas, others = [], [], []
    for parameter, kind, shape in trial.parameters(layer):
        if parameter.grad_req != "null":
            kind = kind if shape == (CHANNELS,) else shape
            {"gamma": gammas, "beta": betas}.get(kind, others).append(parameter)
    trial.holds(
        "a Trainer trains gamma and beta, and nothing else",
        len(gammas) == len(betas) == 1 and not others,
        "Only gamma and beta are trained: a running statistic is made with differentiable=False."
        if others
        else 'gamma and beta are both trained: is one missing, or is its grad_req "null"?',
        ", ".join(p.name for p in (*gammas, *betas, *others)) or "nothing",
        "gamma and beta",
    )
    norm.gamma, norm.beta = float64(trial.factors(CHANNELS)), float64(trial.normal(CHANNELS))
    for parameter, values in ((gammas[0], norm.gamma), (betas[0], norm.beta)):
        parameter.set_data(single(values).reshape(parameter.shape))


def _step(trial, layer, norm, n, mean, std, hint):
    """Compare a training step on n random rows; returns the rows in float64."""
    batch, dY = trial.normal(n, CHANNELS, mean=mean, std=std), trial.normal(n, CHANNELS)
    X_hat, divisor = normalize(batch, (0,), EPS)
    predicted = norm.predict(batch)
    step = trial.step(layer, batch, dY, {"already in a computational graph": PAUSED})
    large = normalize(batch, (0,), 1.0)[0]
    trial.equal(
        "in training mode each batch is normalized with its own mean and variance"
        if std > 1
        else "in training mode epsilon is under the root",
        step.Y,
        norm.train(batch),
        hint,
        [
            (
                "These are the running statistics. Training mode needs the batch's own mean and "
                "variance.",
                predicted,
            ),
            (
                "A large epsilon hides the symptom, but in training mode it changes the output.",
                norm.affine(large),
            ),
            *unscaled(X_hat, norm.gamma, norm.beta),
            *((its, norm.affine(wrong)) for its, wrong in slips(X_hat, divisor, EPS, n)),
        ],
    )
    of_gamma, of_beta = sorted(step.gradients, key=lambda key: key[0] != "gamma")
    found = [step.dX, step.gradients[of_gamma][0], step.gradients[of_beta][0]]
    has_gradients(trial, found, gradients(dY, X_hat, divisor, (0,), norm.gamma))
    return float64(batch)


def modes(trial, layer_class, layer, norm, X):
    """Compare how the layer chooses its branch: by training mode, and by nothing else."""
    for name, (context, training) in CONTEXTS.items():
        if not training:
            for _ in range(2):
                trial.equal(
                    f"{name}: the running statistics are used, twice",
                    trial.forward(layer, X, context),
                    norm.predict(X),
                    f"With {name} the layer is in prediction mode: its output is a fixed formula.",
                    [
                        *[(RECORDING, norm.normalized(X))][: name == RECORDED],
                        *norm.drifted(X),
                    ],
                )
    late = _moves_late(trial, layer_class, X)
    fresh, norm = trial.build(layer_class, CHANNELS), Norm()
    trial.equal(
        "train_mode(): the batch's own mean and variance are used",
        trial.forward(fresh, X, autograd.train_mode),
        norm.normalized(X),
        "train_mode() switches training mode on, with or without recording.",
        [
            (
                "Recording still decides. Ask autograd.is_training() and nothing else.",
                norm.predict(X),
            )
        ],
    )
    if not late:
        norm.train(X)
    trial.equal(
        "train_mode(): the running statistics change as under record()",
        trial.forward(fresh, X),
        norm.predict(X),
        "In training mode each batch changes them: 0.9 times the old plus 0.1 times the new value.",
        [
            (
                "Under train_mode() they do not change. Ask for training only, not for recording.",
                Norm().predict(X),
            )
        ],
    )


def _moves_late(trial, layer_class, X):
    """Whether the running statistics change only in the backward pass, as in Gluon's layer."""
    layer = trial.build(layer_class, CHANNELS)
    trial.forward(layer, X, autograd.record)
    return numpy.allclose(float64(trial.forward(layer, X)), Norm().predict(X), atol=1e-3)


def kept(trial, layer_class, layer, norm, X, still=UNSAVED):
    """Compare what the layer shares, saves and copies. still: the hint if nothing was saved."""
    other = trial.build(_in_a_net, layer_class)
    trial.equal(
        "a second layer of this class, in a network, starts like a new one",
        trial.forward(other, X),
        Norm().predict(X),
        f"Do the two layers share something? {NEW}",
        [
            (
                "A network does not call the initialize() of its layers: give the parameter its "
                'initial value where you make it, with init="ones".',
                Norm().predict(X, var=0),
            )
        ],
    )
    trial.equal(
        "and the first layer is unchanged",
        trial.forward(layer, X),
        norm.predict(X),
        f"Do the two layers share something? {NEW}",
    )

    def saved_and_loaded():
        old, new = nn.Sequential(), trial.build(_in_a_net, layer_class, like=X)
        old.add(layer)  # because MXNet loads a single layer by other rules
        with tempfile.TemporaryDirectory() as folder:
            old.save_parameters(f"{folder}/net")
            new.load_parameters(f"{folder}/net")
        return new

    trial.equal(
        "after saving and loading, it predicts the same",
        trial.forward(trial.call(saved_and_loaded, what="Saving and loading"), X),
        norm.predict(X),
        UNSAVED,
        norm.unmoved(X, still),
    )

    def copied():
        copy = trial.build(layer_class, CHANNELS, like=X)
        values = zip(copy.collect_params().values(), layer.collect_params().values())
        for new, old in values:
            new.set_data(old.data())
        return copy

    trial.equal(
        "everything it needs is in collect_params()",
        trial.forward(trial.call(copied, what="Copying its parameters"), X),
        norm.predict(X),
        "Something is saved but not in collect_params(), so initialize() and Trainer do not see "
        "it: make it with self.params.get.",
    )


def _in_a_net(layer_class):
    net = nn.Sequential()
    net.add(by_position(layer_class)(CHANNELS))
    return net


def settings(trial, layer_class, X):
    """Compare a layer made with another eps and momentum, if the class takes them."""

    def predicted(**settings):
        norm = Norm(**settings)
        norm.train(X)
        return norm.predict(X)

    eps, momentum = 0.5, 0.6
    if {"eps", "momentum"} <= inspect.signature(layer_class).parameters.keys():
        layer = trial.build(lambda n: layer_class(n, eps=eps, momentum=momentum), CHANNELS)
        trial.train(layer, X, X)
        by_default = (
            "{} is an argument: store it in __init__, use it in forward. It is not always {}."
        )
        trial.equal(
            "the layer uses the eps and momentum that it was made with",
            trial.forward(layer, X),
            predicted(eps=eps, momentum=momentum),
            "This layer was made with eps=0.5 and momentum=0.6. Does it use both?",
            [
                (by_default.format("eps", EPS), predicted(momentum=momentum)),
                (by_default.format("momentum", MOMENTUM), predicted(eps=eps)),
                ("eps and momentum are arguments: neither of them has an effect.", predicted()),
            ],
        )


def small_variance(trial, layer, norm, X):
    """Compare a prediction in which epsilon matters, if the running variance is a parameter."""
    for parameter, kind, shape in trial.parameters(layer):
        if kind == "var" and shape == (CHANNELS,):
            norm.var = EPS * float64(trial.uniform(CHANNELS, low=0.5, high=2))
            parameter.set_data(single(norm.var).reshape(parameter.shape))
            trial.equal(
                "in prediction mode epsilon is under the root too",
                trial.forward(layer, X),
                norm.predict(X),
                "Prediction mode divides by sqrt(var + eps) too, with the layer's epsilon, 1e-5.",
                [(NO_EPS, norm.predict(X, eps=0))],
            )
