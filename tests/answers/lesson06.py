"""Right and wrong answers to exercises 06. A wrong one comes with a piece of the hint it must get."""

import itertools

from d2lutils import batches, evaluate
from d2lutils.training import renew_statistics

import numpy
from mxnet import autograd, gluon, np, npx
from mxnet.gluon import nn


def norms_of(net):
    found = []
    net.apply(lambda layer: found.append(layer) if isinstance(layer, nn.BatchNorm) else None)
    return found


def trained(net):
    return {n: p for n, p in net.collect_params().items() if p.grad_req != "null"}


# --- 6.2 ---


def by_name(net, snapshots, train):
    for name, p in net.collect_params().items():
        p.set_data(sum(s[name] for s in snapshots) / len(snapshots))
    renew_statistics(net, train, batch_size=40)
    return net


def trained_only_by_hand(net, snapshots, train):
    for name, p in trained(net).items():
        p.set_data(np.stack([s[name] for s in snapshots]).mean(axis=0))
    for X, _ in batches(train, 100, seed=3):
        for _ in range(4):
            with autograd.record():
                loss = (net(X) ** 2).mean()
            loss.backward()
    npx.waitall()
    return net


def exactly(net, snapshots, train):
    """The mean in NumPy, and the statistics of all images at once, by hooks."""
    for name, p in trained(net).items():
        p.set_data(np.array(numpy.mean([s[name].asnumpy() for s in snapshots], axis=0)))
    return by_hooks(net, train[0], len(train[0]))


def averaging(mean_of=None, renew=lambda net, train: renew_statistics(net, train, 40)):
    """by_name with another mean, or another way to renew the statistics."""

    def function(net, snapshots, train):
        for name, p in trained(net).items():
            values = [s[name] for s in snapshots]
            p.set_data(mean_of(values) if mean_of else sum(values) / len(values))
        renew(net, train)
        return net

    return function


def with_the_nets_own(net, snapshots, train):
    now = {n: p.data().copy() for n, p in net.collect_params().items()}
    return by_name(net, [*snapshots, now], train)


def without_gamma(net, snapshots, train):
    for name, p in trained(net).items():
        if not name.endswith(("gamma", "beta")):
            p.set_data(sum(s[name] for s in snapshots) / len(snapshots))
    renew_statistics(net, train, 40)
    return net


def halving(values):
    mean = values[0]
    for value in values[1:]:
        mean = (mean + value) / 2
    return mean


def in_place(net, snapshots, train):
    for name, p in trained(net).items():
        total = snapshots[0][name]
        for s in snapshots[1:]:
            total += s[name]
        p.set_data(total / len(snapshots))
    renew_statistics(net, train, 40)
    return net


def statistics_averaged(net, snapshots, train):
    for name, p in net.collect_params().items():
        p.set_data(sum(s[name] for s in snapshots) / len(snapshots))
    return net


def statistics_of_the_last(net, snapshots, train):
    for name, p in net.collect_params().items():
        values = [s[name] for s in snapshots]
        p.set_data(values[-1] if p.grad_req == "null" else sum(values) / len(values))
    return net


def renewed_first(net, snapshots, train):
    renew_statistics(net, train, 40)
    return averaging(renew=lambda *_: None)(net, snapshots, train)


def with_steps(net, train):
    trainer = gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.1})
    renew_statistics(net, train, 40)
    trainer.step(1)


def momentum_changed(net, snapshots, train):
    for norm in norms_of(net):
        norm._kwargs["momentum"] = 0.5
    return by_name(net, snapshots, train)


def gradients_left_off(function):
    def off(net, *others):
        net.collect_params().setattr("grad_req", "null")
        return function(net, *others)

    return off


def another_net(function):
    """The net is as it should be, and something else comes back."""

    def other(net, *others):
        function(net, *others)
        new = nn.Dense(3)
        new.initialize()
        return new

    return other


# --- 6.3 ---


def kept(function):
    """The function, with all parameters put back at its end."""

    def diagnosis(net, train, test):
        numbers = [p.data().copy() for p in net.collect_params().values()]
        word = function(net, train, test)
        for p, values in zip(net.collect_params().values(), numbers):
            p.set_data(values)
        return word

    return diagnosis


def two_accuracies(net, train, test, batch_size=30):
    as_it_is = evaluate(net, test)[1]
    renew_statistics(net, train, batch_size)
    return as_it_is, evaluate(net, test)[1]


def by_gap(net, train, test):
    as_it_is, recalibrated = two_accuracies(net, train, test)
    if recalibrated - as_it_is > 0.1:
        return "stale"
    return "neither" if as_it_is > 0.85 else "restless"


def by_level(net, train, test):
    as_it_is, recalibrated = two_accuracies(net, train, test)
    if as_it_is > 0.8:
        return " Neither"
    return "STALE" if recalibrated > 0.85 else "Restless"


def by_batch_statistics(net, train, test):
    X, y = test

    def accuracy(mode):
        with mode():
            return (net(X).argmax(axis=1) == y).mean().item()

    here, own = accuracy(autograd.predict_mode), accuracy(autograd.train_mode)
    return "neither" if here > 0.85 else "stale" if own > 0.85 else "restless"


def few_batches(net, train, test):
    as_it_is, recalibrated = two_accuracies(net, train, test, batch_size=256)
    if as_it_is > 0.85:
        return "neither"
    return "stale" if recalibrated - as_it_is > 0.05 else "restless"


def any_gain(net, train, test):
    as_it_is, recalibrated = two_accuracies(net, train, test)
    return "stale" if recalibrated > as_it_is else "neither"


def by_level_alone(net, train, test):
    return "restless" if evaluate(net, test)[1] < 0.85 else "neither"


def by_level_stale(net, train, test):
    return "stale" if evaluate(net, test)[1] < 0.85 else "neither"


def never_restless(net, train, test):
    as_it_is, recalibrated = two_accuracies(net, train, test)
    return "stale" if recalibrated - as_it_is > 0.1 else "neither"


# --- 6.4 ---


def by_hooks(net, X, batch_size, ddof=0):
    seen, handles = {}, []
    for norm in norms_of(net):
        seen[norm] = []
        keep = norm.register_forward_pre_hook(lambda layer, inputs: seen[layer].append(inputs[0]))
        handles.append(keep)
    with autograd.train_mode():
        for start in range(0, len(X), batch_size):
            net(X[start : start + batch_size])
    for norm, parts in seen.items():
        values = np.concatenate(parts)
        axes = (0, *range(2, values.ndim))
        norm.running_mean.set_data(values.mean(axis=axes))
        norm.running_var.set_data(values.var(axis=axes, ddof=ddof))
    for handle in handles:
        handle.detach()
    return net


def by_moments(combine):
    """The statistics from those of the batches, which layers of momentum 0 leave behind.

    combine(means, variances, weights) -> mean, var; means, variances: (batches, channels).
    """

    def function(net, X, batch_size):
        norms, sizes = norms_of(net), []
        momenta = [norm._kwargs["momentum"] for norm in norms]
        found = [[] for _ in norms]
        for norm in norms:
            norm._kwargs["momentum"] = 0.0
        for start in range(0, len(X), batch_size):
            part = X[start : start + batch_size]
            sizes.append(len(part))
            with autograd.record():
                Y = net(part)
            Y.backward()
            npx.waitall()
            for norm, moments in zip(norms, found):
                moments.append([p.data().asnumpy() for p in (norm.running_mean, norm.running_var)])
        weights = numpy.reshape(sizes, (-1, 1)) / sum(sizes)
        for norm, momentum, moments in zip(norms, momenta, found):
            norm._kwargs["momentum"] = momentum
            mean, var = combine(*numpy.array(moments).transpose(1, 0, 2), weights)
            norm.running_mean.set_data(np.array(mean))
            norm.running_var.set_data(np.array(var))
        return net

    return function


def pooled(means, variances, weights):
    mean = (weights * means).sum(axis=0)
    return mean, (weights * (variances + means**2)).sum(axis=0) - mean**2


def inside_only(means, variances, weights):
    return pooled(means, variances, weights)[0], (weights * variances).sum(axis=0)


def between_only(means, variances, weights):
    return pooled(means, variances, weights)[0], (
        weights * (means - pooled(means, variances, weights)[0]) ** 2
    ).sum(axis=0)


def equal_weights(means, variances, weights):
    return pooled(means, variances, 0 * weights + 1 / len(weights))


def means_of_the_first(means, variances, weights):
    return means[0], pooled(means, variances, weights)[1]


def roots(means, variances, weights):
    mean, var = pooled(means, variances, weights)
    return mean, var**0.5


def by_wrapping(net, X, batch_size):
    """In place of hooks, a forward of its own that keeps the input."""
    seen = {norm: [] for norm in norms_of(net)}
    for norm in seen:

        def forward(X, *others, layer=norm):
            seen[layer].append(X.asnumpy())
            return type(layer).forward(layer, X, *others)

        norm.forward = forward
    with autograd.train_mode():
        for start in range(0, len(X), batch_size):
            net(X[start : start + batch_size])
    for norm, parts in seen.items():
        del norm.forward
        values = numpy.concatenate(parts)
        axes = (0, *range(2, values.ndim))
        norm.running_mean.set_data(np.array(values.mean(axis=axes)))
        norm.running_var.set_data(np.array(values.var(axis=axes)))
    return net


def all_at_once(net, X, batch_size):
    return by_hooks(net, X, len(X))


def predicting(net, X, batch_size):
    """by_hooks, in prediction mode."""
    mode = autograd.train_mode
    autograd.train_mode = autograd.predict_mode
    try:
        return by_hooks(net, X, batch_size)
    finally:
        autograd.train_mode = mode


def moving(net, X, batch_size):
    for start in range(0, len(X), batch_size):
        with autograd.record():
            Y = net(X[start : start + batch_size])
        Y.backward()
    npx.waitall()
    return net


def last_batch(net, X, batch_size):
    return by_hooks(net, X[(len(X) - 1) // batch_size * batch_size :], batch_size)


def whole_batches(net, X, batch_size):
    return by_hooks(net, X[: len(X) // batch_size * batch_size], batch_size)


def hooks_left(net, X, batch_size):
    for norm in norms_of(net):
        norm.register_forward_pre_hook(lambda *_: None)
    return by_hooks(net, X, batch_size)


def momentum_left(net, X, batch_size):
    by_hooks(net, X, batch_size)
    for norm in norms_of(net):
        norm._kwargs["momentum"] = 0.9
    return net


def gamma_reset(net, X, batch_size):
    for norm in norms_of(net):
        norm.gamma.set_data(np.ones(norm.gamma.shape))
    return by_hooks(net, X, batch_size)


# --- 6.5 ---


def by_product(a, b):
    d = [x - y for x, y in zip(a, b)]
    count, saw = 0, abs(sum(d)) - 1e-9
    for signs in itertools.product((1, -1), repeat=len(d)):
        count += abs(sum(s * x for s, x in zip(signs, d))) >= saw
    return count / 2 ** len(d)


def by_bits(*, first, second):
    """Signs from the binary digits of a number, sums in NumPy."""
    d = numpy.array(first) - numpy.array(second)
    n = len(d)
    signs = 1 - 2 * (numpy.arange(2**n)[:, None] >> numpy.arange(n) & 1)
    means = numpy.abs(signs @ d) / n
    return numpy.mean((means > abs(d.mean())) | numpy.isclose(means, abs(d.mean())))


def by_recursion(a, b):
    d = [round(10**7 * (x - y)) for x, y in zip(a, b)]

    def sums(d):
        return [s + x for s in sums(d[1:]) for x in (d[0], -d[0])] if d else [0]

    found = [abs(s) >= abs(sum(d)) for s in sums(d)]
    return np.array(found, dtype="float32").mean()


def flipping(compare, divisor=lambda n: 2**n, extra=0):
    """by_product with another comparison of a sum with the one that was seen."""

    def p_value(a, b):
        d = [round(x - y, 9) for x, y in zip(a, b)]
        saw = round(sum(d), 9)
        sums = [
            round(sum(s * x for s, x in zip(signs, d)), 9)
            for signs in itertools.product((1, -1), repeat=len(d))
        ]
        return (sum(compare(s, saw) for s in sums) + extra) / divisor(len(d))

    return p_value


def unpaired(a, b):
    pool, n = numpy.array([*a, *b]), len(a)
    saw = abs(sum(a) - sum(b)) - 1e-9
    splits = itertools.combinations(range(2 * n), n)
    return numpy.mean([abs(2 * pool[list(rows)].sum() - pool.sum()) >= saw for rows in splits])


def signs_only(a, b):
    return by_product(numpy.sign(numpy.round(numpy.array(a) - b, 9)).tolist(), [0] * len(a))


def with_rounding(a, b):
    d = [x - y for x, y in zip(a, b)]
    sums = [
        sum(s * x for s, x in zip(signs, d)) for signs in itertools.product((1, -1), repeat=len(d))
    ]
    return sum(abs(s) >= abs(sum(d)) for s in sums) / len(sums)


def sampled(a, b):
    d, rng = numpy.array(a) - b, numpy.random.default_rng(0)
    signs = rng.choice([-1, 1], (997, len(d)))
    return (numpy.abs(signs @ d) >= abs(d.sum()) - 1e-9).mean()


# --- 6.6a ---


def averaging_lists(mean_of=lambda values: sum(values) / len(values), late=True):
    def function(net, snapshots, train):
        if not late:
            renew_statistics(net, train, batch_size=40)
        for p, values in zip(net.collect_params().values(), zip(*snapshots)):
            if p.grad_req != "null":
                p.set_data(mean_of(values))
        if late:
            renew_statistics(net, train, batch_size=40)
        return net

    return function


def averaging_everything(renew):
    def function(net, snapshots, train):
        for p, values in zip(net.collect_params().values(), zip(*snapshots)):
            p.set_data(sum(values) / len(values))
        renew(net, train)
        return net

    return function


# --- 6.6b ---


def loss_of(net, X, y):
    return gluon.loss.SoftmaxCrossEntropyLoss()(net(X), y)


def correct(net, test):
    return (net(test[0]).argmax(axis=1) == test[1]).mean().item()


def looking_before(net, trainer, X, y, test):
    accuracy = correct(net, test)
    with autograd.record():
        loss = loss_of(net, X, y)
    loss.backward()
    trainer.step(len(X))
    return accuracy


def looking_after(net, trainer, X, y, test):
    with autograd.record():
        loss = loss_of(net, X, y)
    loss.backward()
    trainer.step(len(X))
    npx.waitall()
    return evaluate(net, test)[1]


def looking_between(net, trainer, X, y, test, context=autograd.predict_mode):
    with autograd.record():
        loss = loss_of(net, X, y)
        with context():
            accuracy = correct(net, test)
    loss.backward()
    trainer.step(len(X))
    return np.array(accuracy)


def specimen(net, trainer, X, y, test):
    return looking_between(net, trainer, X, y, test, autograd.record)


def looking_in_train_mode(net, trainer, X, y, test):
    with autograd.train_mode():
        accuracy = correct(net, test)
    looking_after(net, trainer, X, y, test)
    return accuracy


def looking_twice(net, trainer, X, y, test):
    specimen(net, trainer, X, y, test)
    return evaluate(net, test)[1]


def looking_in_both(net, trainer, X, y, test):
    """The accuracy is right, and the images pass the net in training mode all the same."""
    accuracy = correct(net, test)
    specimen(net, trainer, X, y, test)
    return accuracy


def counting(net, trainer, X, y, test):
    return looking_before(net, trainer, X, y, test) * len(test[1])


def not_training(net, trainer, X, y, test):
    return correct(net, test)


def on_the_training_batch(net, trainer, X, y, test):
    looking_after(net, trainer, X, y, test)
    return 1 - correct(net, test)


RIGHT = {
    "chance": [
        (0.0095, 0.003, 90_000, "yes", "no"),
        (0.00948683, np.array(0.003), "90,000", "Yes.", "NO"),
        ("0.0095", "0.003", (90, 250), True, False),
    ],
    "weights_averaged": [(by_name,), (trained_only_by_hand,), (exactly,)],
    "diagnosed": [(kept(by_gap),), (kept(by_level),), (by_batch_statistics,)],
    "precise_statistics": [(by_hooks,), (by_moments(pooled),), (by_wrapping,)],
    "sign_flip": [
        (by_product, 0.0625, 8),
        (by_bits, "0.0625", "8"),
        (by_recursion, 2 / 32, np.array(8)),
    ],
    "renewed_too_early": [
        ("c", averaging_lists()),
        ("C)", averaging_everything(lambda net, train: renew_statistics(net, train, 40))),
        ("c", averaging_lists(lambda values: np.stack(values).mean(axis=0))),
    ],
    "looked_while_recording": [
        ("b", looking_before),
        ("b", looking_after),
        ("(b)", looking_between),
        ("b", lambda *a: looking_between(*a, context=autograd.pause)),
    ],
}

RIGHT_CHANCE = (0.0095, 0.003, 90_000, "yes", "no")


def chance_with(i, value):
    return (*RIGHT_CHANCE[:i], value, *RIGHT_CHANCE[i + 1 :])


WRONG = {
    "chance": [
        (chance_with(0, 0.00009), "Take the root"),
        (chance_with(0, 0.0003), "n belongs under the root"),
        (chance_with(0, 0.03), "The factor 1 - p is missing"),
        (chance_with(0, 0.0316), "p * (1 - p) is missing"),
        (chance_with(0, 0.95), "not in percent"),
        (chance_with(0, 0.003), "the other number of images"),
        (chance_with(1, 0.3), "not in percent"),
        (chance_with(1, 0.000009), "p * (1 - p) / n"),
        (chance_with(2, 300), "Square both sides"),
        (chance_with(2, 30_000), "more than three times as many"),
        (chance_with(2, 1_000_000), "p * (1 - p) is missing"),
        (chance_with(2, 90), "Square 0.001 as well"),
        (chance_with(3, "no"), "is 0.028 here"),
        (chance_with(4, "yes"), "is 0.009 here"),
        (chance_with(4, "perhaps"), 'Answer "yes" or "no"'),
        (chance_with(3, 1), 'Answer "yes" or "no"'),
    ],
    "weights_averaged": [
        ((averaging(sum),), "Divide by how many there are"),
        ((averaging(lambda values: sum(values) / 3),), "not always as many"),
        ((averaging(lambda values: values[-1]),), "last snapshot alone"),
        ((averaging(lambda values: values[0]),), "first snapshot alone"),
        ((averaging(halving),), "Halving"),
        ((with_the_nets_own,), "Only the snapshots should"),
        ((without_gamma,), "gamma and beta as well"),
        ((lambda net, snapshots, train: net,), "write the means with set_data"),
        ((in_place,), "total = total + array"),
        ((statistics_averaged,), "means of the snapshots' statistics"),
        ((statistics_of_the_last,), "of the last snapshot"),
        ((renewed_first,), "after the averaged weights are in the net"),
        ((averaging(renew=lambda net, train: renew_statistics(net, train)),), "k batches leave"),
        ((averaging(renew=with_steps),), "is the sum of its snapshots"),
        ((momentum_changed,), "set back what you set"),
        ((another_net(by_name),), "Return the net that you were given"),
        ((lambda *a: by_name(*a).collect_params(),), "return net"),
    ],
    "diagnosed": [
        ((kept(any_gain),), "more than any gain at all"),
        ((kept(by_level_alone),), "so the weights are good"),
        ((kept(by_level_stale),), "not to blame"),
        ((kept(never_restless),), "the weights are to blame"),
        ((kept(few_batches),), "forty batches or more"),
        ((lambda *_: "restless",), "before anything happened to it"),
        ((lambda *_: "neither",), "Does recalibrating help"),
        ((by_gap,), "put them back"),
        ((lambda *_: "sound",), "as text"),
        ((lambda *_: 1,), "as text"),
    ],
    "precise_statistics": [
        ((by_moments(inside_only),), "differ as well"),
        ((by_moments(between_only),), "Each batch has its own variance"),
        ((by_moments(equal_weights),), "as it has images"),
        ((by_moments(roots),), "write the variance"),
        ((all_at_once,), "It is a good way, too"),
        ((predicting,), "training mode: under"),
        ((moving,), "Each image should count the same"),
        ((last_batch,), "last batch alone"),
        ((whole_batches,), "last batch is missing"),
        ((lambda *a: by_hooks(*a, ddof=1),), "not by one less"),
        ((hooks_left,), "detach() on each handle"),
        ((momentum_left,), "set back what you set"),
        ((gradients_left_off(by_hooks),), "here grad_req"),
        ((another_net(by_hooks),), "Return the net that you were given"),
        ((by_moments(means_of_the_first),), "the mean of everything that reaches"),
        ((gamma_reset,), "Only the running statistics"),
        ((lambda net, *_: net,), "write it with set_data"),
    ],
    "sign_flip": [
        ((flipping(lambda s, saw: abs(s) > abs(saw)), 0.0625, 8), "at least as far, not farther"),
        ((flipping(lambda s, saw: s >= saw), 0.0625, 8), "compare absolute values"),
        ((flipping(lambda s, saw: s <= saw), 0.0625, 8), "compare absolute values"),
        ((unpaired, 0.0625, 8), "You mix the 2n numbers"),
        ((signs_only, 0.0625, 8), "count signs only"),
        (
            (flipping(lambda s, saw: abs(s) >= abs(saw), lambda n: 2**n + 1, 1), 0.0625, 8),
            "nothing is added",
        ),
        ((flipping(lambda s, saw: abs(s) >= abs(saw), lambda n: 1), 0.0625, 8), "Divide by 2 ** n"),
        ((flipping(lambda s, saw: abs(s) < abs(saw)), 0.0625, 8), "the others"),
        ((with_rounding, 0.0625, 8), "Rounding breaks ties"),
        ((sampled, 0.0625, 8), "fraction of the 2 ** n patterns"),
        ((by_product, 0.03125, 8), "Two patterns are as extreme"),
        ((by_product, 0, 8), "it is never 0"),
        ((by_product, 6.25, 8), "not in percent"),
        ((by_product, 0.0625, 7), "2 / 128"),
        ((by_product, 0.0625, 10), "fewer will do"),
        ((by_product, 0.0625, 5), "2 / 2 ** n"),
    ],
    "renewed_too_early": [
        (("a", averaging_lists()), "snapshots of one run"),
        (("b", averaging_lists()), "divided by how many"),
        (("d", averaging_lists()), "prediction mode"),
        (("c", averaging_lists(late=False)), "recalibrate last"),
        (("c", averaging_everything(lambda *_: None)), "means of the snapshots' statistics"),
        (("c", averaging_lists(sum)), "Divide by how many there are"),
        (("c", averaging_lists(lambda values: values[-1])), "last snapshot alone"),
    ],
    "looked_while_recording": [
        (("a", looking_before), "the training batch alone"),
        (("c", looking_before), "the same 500 images"),
        (("d", looking_before), "but by far less"),
        (("b", specimen), "accuracy in training mode"),
        (("b", looking_in_train_mode), "accuracy in training mode"),
        (("b", looking_twice), "leave no trace"),
        (("b", looking_in_both), "leave no trace"),
        (("b", counting), "as a fraction"),
        (("b", not_training), "one forward pass of X"),
        (("b", on_the_training_batch), "before the step or after it"),
    ],
}
