"""What lessons 01 and 02 check alike: normalizing functions, and the repaired layers of their zoos."""

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

EPS, MOMENTUM = 1e-5, 0.9  # of a layer that nobody set
CHANNELS = 3  # that the layers get
NEW = (
    "A new layer knows nothing of others: gamma and the variance are 1, beta and the mean 0, and it "
    "divides by sqrt(var + eps)."
)
BATCHES = (  # rows, mean, spread, and the hint for a layer that was right before
    (
        16,
        5,
        3,
        "Leave the training branch as it was: the batch's own mean, and the root of its variance "
        "plus epsilon, then gamma and beta.",
    ),
    (16, 0, 0.0003, "All that is new here is how little the numbers vary: epsilon is 1e-5."),
    (5, -3, 2, "It was right for 16 rows, and these are 5: what counts the rows?"),
    (9, 2, 4, "It was right for batches before: what is left of them?"),
)
RECORDED = "record(train_mode=False)"
CONTEXTS = {  # name to context and whether it is training
    "nothing at all": (autograd.pause, False),
    "record()": (autograd.record, True),
    RECORDED: (lambda: autograd.record(train_mode=False), False),
    "train_mode()": (autograd.train_mode, True),
}


# --- functions ---


def slips(X_hat, std, eps, m):
    """Hints for normalized values with a slip in the divisor; m: how many numbers share a mean."""
    centred, plain = X_hat * std, numpy.sqrt(std**2 - eps)
    unbiased = numpy.sqrt((std**2 - eps) * m / (m - 1) + eps) if m > 1 else std
    return [
        (ROOT, centred / (plain + eps)),
        (BIASED, centred / unbiased),
        (NO_EPS, centred / plain),
        (NO_ROOT, centred / std**2),
    ]


def unscaled(X_hat, gamma, beta):
    """Hints for outputs where gamma or beta is forgotten, or comes in otherwise."""
    return [
        ("gamma and beta have no effect yet.", X_hat),
        ("beta is missing.", affine(X_hat, gamma, 0 * beta)),
        ("gamma is missing.", affine(X_hat, gamma**0, beta)),
        ("beta is added, not subtracted.", affine(X_hat, gamma, -beta)),
        ("Multiply by gamma once, and as it is: its sign counts.", affine(X_hat, gamma**2, beta)),
        ("Multiply by gamma as it is: its sign counts.", affine(X_hat, abs(gamma), beta)),
        ("gamma multiplies, beta is added, not the other way round.", affine(X_hat, beta, gamma)),
    ]


def has_gradients(trial, found, expected, here=""):
    """Compare the gradients with respect to X, gamma and beta, in training."""
    for name, its, right in zip(("its input", "gamma", "beta"), found, expected):
        what = f"autograd finds the gradient of {name}{here}"
        hint = HIDDEN if name == "its input" else f"Does {name} stand where autograd records?"
        its = by_channel(trial, what, its, right)
        trial.equal(what, its, right, hint, [(UNREACHED.format(name), 0 * right)])


def by_channel(trial, what, value, right):
    """A learner's numbers, (C,) where `right` is (1, C) or (1, C, 1, 1), in that shape."""
    found = trial.array(what, value, shape=None)
    flat = found.shape == (right.size,)
    return found.reshape(right.shape) if flat and right.size == max(right.shape) else found


# --- layers ---


class Norm:
    """Batch normalization of (N, C) in float64, and its averages, as in a fresh layer."""

    def __init__(self, eps=EPS, momentum=MOMENTUM):
        self.eps, self.momentum = eps, momentum
        self.gamma, self.beta = numpy.ones(CHANNELS), numpy.zeros(CHANNELS)
        self.mean, self.var = numpy.zeros(CHANNELS), numpy.ones(CHANNELS)

    def train(self, X):
        """The output of a step of training, in which the averages move."""
        x = float64(X)
        self.mean = self.momentum * self.mean + (1 - self.momentum) * x.mean(axis=0)
        self.var = self.momentum * self.var + (1 - self.momentum) * x.var(axis=0)
        return self.normalized(X)

    def normalized(self, X):
        """The output for a batch that normalizes itself."""
        return self.affine(normalize(X, (0,), self.eps)[0])

    def affine(self, X_hat):
        return self.gamma * X_hat + self.beta

    def predict(self, X, **others):
        """The output in prediction, with other numbers in place of its own: predict(X, mean=0)."""
        n = {**vars(self), **others}
        return n["gamma"] * (float64(X) - n["mean"]) / numpy.sqrt(n["var"] + n["eps"]) + n["beta"]

    def drifted(self, X):
        """Hints for what comes out in prediction when predicting X moves the averages."""
        moved = copy.copy(self)
        moved.train(X)
        half = "In prediction the {} is at rest; the {} still moves."
        return [
            ("A prediction moves the statistics. Only training may.", moved.predict(X)),
            (half.format("variance", "mean"), self.predict(X, mean=moved.mean)),
            (half.format("mean", "variance"), self.predict(X, var=moved.var)),
            (OWN_BATCH, self.normalized(X)),
        ]

    def unmoved(self, X, still):
        """Hints for what comes out in prediction when the averages, or one, are a fresh layer's."""
        fresh = Norm()
        return [
            (still, self.predict(X, mean=fresh.mean, var=fresh.var)),
            ("The mean is right; the variance is not.", self.predict(X, var=fresh.var)),
            ("The variance is right; the mean is not.", self.predict(X, mean=fresh.mean)),
            (OWN_BATCH, self.normalized(X)),
        ]


def trained(trial, layer_class, from_zero="The moving variance starts at one, not at zero."):
    """Train a learner's layer for (N, C) some steps, and compare all that it computes on the way.

    from_zero: the hint for a moving variance that starts at 0. Returns the layer, the `Norm` that
    it agrees with, and an input.
    """
    X, norm = trial.normal(8, CHANNELS, mean=1), Norm()
    layer = trial.build(layer_class, CHANNELS)
    for _ in range(2):
        trial.equal(
            "a fresh layer leaves its input as it is in prediction, twice",
            trial.forward(layer, X),
            norm.predict(X),
            NEW,
            [
                (from_zero, norm.predict(X, var=0)),
                ("gamma starts at one.", norm.predict(X, gamma=0)),
                ("The moving mean starts at zero.", norm.predict(X, mean=1)),
                *norm.drifted(X),
            ],
        )
    _set_gamma_and_beta(trial, layer, norm)
    trial.equal(
        "in prediction gamma scales and beta shifts, channel by channel",
        trial.forward(layer, X),
        norm.predict(X),
        "Multiply by gamma what is normalized, and add beta.",
        unscaled(norm.predict(X, gamma=1, beta=0), norm.gamma, norm.beta),
    )
    seen = [_step(trial, layer, norm, *batch) for batch in BATCHES]
    reversed_norm, unbiased = Norm(), Norm()
    for x in seen:
        n = len(x)
        reversed_norm.mean = 0.1 * reversed_norm.mean + 0.9 * x.mean(axis=0)
        reversed_norm.var = 0.1 * reversed_norm.var + 0.9 * x.var(axis=0)
        unbiased.var = 0.9 * unbiased.var + 0.1 * x.var(axis=0) * n / (n - 1)
    trial.equal(
        "after training, prediction uses the running statistics",
        trial.forward(layer, X),
        norm.predict(X),
        "They should be moving averages of the batches' means and variances, with momentum 0.9, from "
        "mean 0 and variance 1 on.",
        [
            *norm.unmoved(
                X,
                "The running statistics do not move any more: write into the parameter's array, "
                "with [:] = or set_data, when training. (Under pause() is_training() says no.)",
            ),
            (from_zero, norm.predict(X, var=norm.var - MOMENTUM ** len(seen))),
            (REVERSED, norm.predict(X, mean=reversed_norm.mean, var=reversed_norm.var)),
            (BIASED, norm.predict(X, var=unbiased.var)),
        ],
    )
    return layer, norm, X


def _set_gamma_and_beta(trial, layer, norm):
    """Give a layer, and its `Norm`, a random gamma and beta; raise Wrong if it has none."""
    gammas, betas, others = [], [], []
    for parameter, kind, shape in trial.parameters(layer):
        if parameter.grad_req != "null":
            kind = kind if shape == (CHANNELS,) else shape
            {"gamma": gammas, "beta": betas}.get(kind, others).append(parameter)
    trial.holds(
        "a Trainer gets gamma and beta, and nothing else",
        len(gammas) == len(betas) == 1 and not others,
        "Running statistics are not trained: differentiable=False keeps the Trainer away."
        if others
        else "gamma and beta are trained, each of them: is one missing, or its grad_req off?",
        ", ".join(p.name for p in (*gammas, *betas, *others)) or "nothing",
        "gamma and beta",
    )
    norm.gamma, norm.beta = float64(trial.factors(CHANNELS)), float64(trial.normal(CHANNELS))
    for parameter, values in ((gammas[0], norm.gamma), (betas[0], norm.beta)):
        parameter.set_data(single(values).reshape(parameter.shape))


def _step(trial, layer, norm, n, mean, std, hint):
    """Compare a step of training on n random rows; returns the rows as float64."""
    batch, dY = trial.normal(n, CHANNELS, mean=mean, std=std), trial.normal(n, CHANNELS)
    X_hat, divisor = normalize(batch, (0,), EPS)
    predicted = norm.predict(batch)
    step = trial.step(layer, batch, dY, {"already in a computational graph": PAUSED})
    large = normalize(batch, (0,), 1.0)[0]
    trial.equal(
        "training normalizes each batch by itself" if std > 1 else "and epsilon is under the root",
        step.Y,
        norm.train(batch),
        hint,
        [
            ("Recording is not training. In training mode the batch's own count.", predicted),
            ("A large epsilon hides the symptom and does harm in training.", norm.affine(large)),
            *unscaled(X_hat, norm.gamma, norm.beta),
            *((its, norm.affine(wrong)) for its, wrong in slips(X_hat, divisor, EPS, n)),
        ],
    )
    of_gamma, of_beta = sorted(step.gradients, key=lambda key: key[0] != "gamma")
    found = [step.dX, step.gradients[of_gamma][0], step.gradients[of_beta][0]]
    has_gradients(trial, found, gradients(dY, X_hat, divisor, (0,), norm.gamma))
    return float64(batch)


def modes(trial, layer_class, layer, norm, X):
    """Compare what decides between the branches: training mode, and nothing else."""
    for name, (context, training) in CONTEXTS.items():
        if not training:
            for _ in range(2):
                trial.equal(
                    f"under {name} it predicts by the averages of training, twice",
                    trial.forward(layer, X, context),
                    norm.predict(X),
                    f"Under {name} there is no training: prediction is a fixed formula.",
                    [
                        *[("Recording is not training.", norm.normalized(X))][: name == RECORDED],
                        *norm.drifted(X),
                    ],
                )
    late = _moves_late(trial, layer_class, X)
    fresh, norm = trial.build(layer_class, CHANNELS), Norm()
    trial.equal(
        "under train_mode() alone it trains: the batch normalizes itself",
        trial.forward(fresh, X, autograd.train_mode),
        norm.normalized(X),
        "train_mode() is training, with or without recording.",
        [("Recording decides still. Ask autograd.is_training().", norm.predict(X))],
    )
    if not late:
        norm.train(X)
    trial.equal(
        "and moves the statistics as under record()",
        trial.forward(fresh, X),
        norm.predict(X),
        "In training mode each batch moves them: 0.9 of the old and 0.1 of the new.",
        [
            (
                "Under train_mode() they do not move. Ask for training, no more: not for recording.",
                Norm().predict(X),
            )
        ],
    )


def _moves_late(trial, layer_class, X):
    """Whether the layer's averages wait for the backward pass, as those of Gluon's do."""
    layer = trial.build(layer_class, CHANNELS)
    trial.forward(layer, X, autograd.record)
    return numpy.allclose(float64(trial.forward(layer, X)), Norm().predict(X), atol=1e-3)


def kept(trial, layer_class, layer, norm, X, still=UNSAVED):
    """Compare what is shared, saved, copied and trained. still: the hint where nothing is saved."""
    other = trial.build(_in_a_net, layer_class)
    trial.equal(
        "another layer of the class, in a net, starts afresh",
        trial.forward(other, X),
        Norm().predict(X),
        f"Layers share something. {NEW}",
        [
            (
                "In a net nobody calls a layer's own initialize(): a parameter is made with its "
                'start, init="ones".',
                Norm().predict(X, var=0),
            )
        ],
    )
    trial.equal(
        "and leaves this one as it was",
        trial.forward(layer, X),
        norm.predict(X),
        f"Layers share something. {NEW}",
    )

    def saved_and_loaded():
        old, new = nn.Sequential(), trial.build(_in_a_net, layer_class, like=X)
        old.add(layer)  # since MXNet loads a lone layer by other rules
        with tempfile.TemporaryDirectory() as folder:
            old.save_parameters(f"{folder}/net")
            new.load_parameters(f"{folder}/net")
        return new

    trial.equal(
        "saved and loaded, it predicts the same",
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
        "all it needs is in collect_params()",
        trial.forward(trial.call(copied, what="Copying its parameters"), X),
        norm.predict(X),
        "It is saved now, but not in collect_params(), so initialize() and Trainer pass it by: "
        "make it by self.params.get.",
    )


def _in_a_net(layer_class):
    net = nn.Sequential()
    net.add(by_position(layer_class)(CHANNELS))
    return net


def settings(trial, layer_class, X):
    """Compare a layer that is made with another eps and momentum, where the class takes them."""

    def predicted(**settings):
        norm = Norm(**settings)
        norm.train(X)
        return norm.predict(X)

    eps, momentum = 0.5, 0.6
    if {"eps", "momentum"} <= inspect.signature(layer_class).parameters.keys():
        layer = trial.build(lambda n: layer_class(n, eps=eps, momentum=momentum), CHANNELS)
        trial.train(layer, X, X)
        by_default = "{} is an argument: __init__ keeps it, forward uses it. It is not always {}."
        trial.equal(
            "eps and momentum are what the layer was made with",
            trial.forward(layer, X),
            predicted(eps=eps, momentum=momentum),
            "Made with eps=0.5, momentum=0.6, trained on one batch: both numbers should count.",
            [
                (by_default.format("eps", EPS), predicted(momentum=momentum)),
                (by_default.format("momentum", MOMENTUM), predicted(eps=eps)),
                ("eps and momentum are arguments: neither has an effect yet.", predicted()),
            ],
        )


def small_variance(trial, layer, norm, X):
    """Compare a prediction in which epsilon counts, where the variance is a parameter of its own."""
    for parameter, kind, shape in trial.parameters(layer):
        if kind == "var" and shape == (CHANNELS,):
            norm.var = EPS * float64(trial.uniform(CHANNELS, low=0.5, high=2))
            parameter.set_data(single(norm.var).reshape(parameter.shape))
            trial.equal(
                "in prediction, too, epsilon is under the root",
                trial.forward(layer, X),
                norm.predict(X),
                "Both branches divide by sqrt(var + eps), with the layer's epsilon, 1e-5.",
                [(NO_EPS, norm.predict(X, eps=0))],
            )
