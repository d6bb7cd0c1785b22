"""What the checks of lessons 02 and 06 ask of a net's running statistics."""

import numpy
from mxnet import autograd
from mxnet.gluon import Block, nn

from .engine import Wrong, described
from .reference import flat, float64, single


def norms(net):
    found = []
    net.apply(lambda layer: found.append(layer) if isinstance(layer, nn.BatchNorm) else None)
    return found


def trained(net):
    return [p for p in net.collect_params().values() if p.grad_req != "null"]


def inputs(net, parts, context=autograd.train_mode):
    """What reaches each normalization, in float64: a list for each, with an array for each part."""
    seen, layers = {}, norms(net)
    net.hybridize(False)  # a compiled net, as evaluate() leaves it, calls no hooks
    hooks = [
        norm.register_forward_pre_hook(
            lambda layer, inputs: seen.setdefault(layer, []).append(float64(inputs[0]))
        )
        for norm in layers
    ]
    with context():
        for X in parts:
            net(X)
    for hook in hooks:
        hook.detach()
    return [seen[norm] for norm in layers]


def moments(x):
    """Mean and variance of each channel."""
    axes = (0, *range(2, x.ndim))
    return x.mean(axis=axes), x.var(axis=axes)


def statistics(net):
    """The running mean and variance of each normalization."""
    return [(float64(n.running_mean.data()), float64(n.running_var.data())) for n in norms(net)]


def write(net, found):
    for norm, (mean, var) in zip(norms(net), found):
        norm.running_mean.set_data(single(mean))
        norm.running_var.set_data(single(var))


def renew(net, X):
    """Write the mean and variance of everything that reaches each normalization; return them."""
    found = [moments(parts[0]) for parts in inputs(net, [X])]
    write(net, found)
    return found


def errors(found, true):
    """For each normalization the largest errors of mean and standard deviation, in standard
    deviations."""
    return [
        (
            numpy.abs((f[0] - t[0]) / numpy.sqrt(t[1])).max(),
            numpy.abs(numpy.sqrt(numpy.abs(f[1]) / t[1]) - 1).max(),
        )
        for f, t in zip(found, true)
    ]


def close(found, true, bound):
    return bool(numpy.max(errors(found, true)) <= bound)


def fits(trial, which, found, true, bound, hint):
    """Compare the running statistics of each normalization, in standard deviations.

    which: what the lines of the verdict begin with, as "3 snapshots, ".
    """
    for i, errors_of_one in enumerate(errors(found, true), start=1):
        for what, error in zip(("mean", "standard deviation"), errors_of_one):
            trial.holds(
                f"{which}normalization {i}: the running {what}, to {bound:g} standard deviations",
                error <= bound,
                hint,
                f"off by {error:.2f} standard deviations",
                f"at most {bound:g}",
            )


def is_a_net(returned):
    if not isinstance(returned, Block):
        what = f"Your function returned {described(returned)}, not the net."
        raise Wrong(what, "Change the net that you were given, and return it: return net")


def trains_as_before(trial, net, make, X):
    """Compare a training step of the net with that of another one with the same numbers."""
    like = trial.build(make, like=X)
    # Far from those of X: else a step hardly changes the statistics, whatever the momentum.
    write(net, [(mean + 2 * numpy.sqrt(var), 4 * var) for mean, var in statistics(net)])
    for new, old in zip(like.collect_params().values(), net.collect_params().values()):
        new.set_data(old.data())
    dY = trial.normal(len(X), 3)
    back = "Somebody may train this net again: set back what you set"
    requests = trial.call(lambda: [p.grad_req for p in net.collect_params().values()])
    right = [p.grad_req for p in like.collect_params().values()]
    trial.holds("each grad_req is what it was", requests == right, f"{back}, here grad_req.")
    found, expected = (trial.step(block, X, dY) for block in (net, like))
    for what, theirs, ours in (
        (
            "a training step gives the gradients that it gave before",
            found.gradients,
            expected.gradients,
        ),
        ("and changes the running statistics as before", found.statistics, expected.statistics),
    ):
        trial.equal(
            what, flat(theirs), flat(ours), f"{back} (momentum, use_global_stats).", tolerance=5e-3
        )
