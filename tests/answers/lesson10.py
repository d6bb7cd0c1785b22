"""Right and wrong answers to exercises 10. A wrong one comes with a piece of the hint it must get."""

import math
import random

from d2lutils.graph import fold_batch_norm, to_graph, to_net
from d2lutils.training import renew_statistics

import numpy
from mxnet import autograd, np, npx
from mxnet.gluon import nn

# --- 10.1 ---


def counted(momentum, left):
    k = 1
    while momentum**k > left:
        k += 1
    return k


def by_logarithm(*, momentum, left):
    return 1 if momentum == 0 else np.ceil(np.log(left) / np.log(momentum))


def simulated(momentum, left):
    """Runs a mean towards 0, and returns text."""
    value, k = 1.0, 0
    while value > left:
        value, k = momentum * value + (1 - momentum) * 0.0, k + 1
    return str(k)


# --- 10.3 ---


def fold_forward(gamma, beta, mean, var, eps, weight, bias):
    s = gamma / np.sqrt(var + eps)
    t = beta - s * mean
    W = weight.reshape(len(weight), len(gamma), -1)
    new_weight = (W * s.reshape(1, -1, 1)).reshape(weight.shape)
    return new_weight, bias + (W * t.reshape(1, -1, 1)).sum(axis=(1, 2))


def in_two_cases(gamma, beta, mean, var, eps, weight, bias):
    scale = gamma / (var + eps) ** 0.5
    if weight.ndim == 4:
        s, m, b = (v.reshape(1, -1, 1, 1) for v in (scale, mean, beta))
        return [weight * s, bias + (weight * (b - s * m)).sum(axis=(1, 2, 3))]
    pixels = weight.shape[1] // len(gamma)
    s, m, b = (np.repeat(v, pixels) for v in (scale, mean, beta))
    return [weight * s, bias + np.dot(weight, b - s * m)]


def in_numpy(*, gamma, beta, mean, var, eps, weight, bias):
    """Looks what the layer makes of zeros and of each channel; loops."""
    gamma, beta, mean, var, weight, bias = (
        a.asnumpy().astype("float64") for a in (gamma, beta, mean, var, weight, bias)
    )
    new, bias = weight.copy(), bias.copy()
    each = weight[0].size // len(gamma)
    for out in range(len(weight)):
        row = new[out].reshape(-1)
        for i, w in enumerate(weight[out].reshape(-1)):
            c = i // each
            s = gamma[c] / numpy.sqrt(var[c] + eps)
            row[i] = w * s
            bias[out] += w * (beta[c] - s * mean[c])
    return new, bias


def tiled(gamma, beta, mean, var, eps, weight, bias):
    scale = gamma / np.sqrt(var + eps)
    if weight.ndim == 4:
        return in_two_cases(gamma, beta, mean, var, eps, weight, bias)
    pixels = weight.shape[1] // len(gamma)
    s, t = np.tile(scale, pixels), np.tile(beta - scale * mean, pixels)
    return weight * s, bias + np.dot(weight, t)


def backwards(gamma, beta, mean, var, eps, weight, bias):
    """As if the normalization came after the layer."""
    scale = gamma / np.sqrt(var + eps)
    return weight * scale.reshape(-1, 1, 1, 1), scale * (bias - mean) + beta


def by_length(gamma, beta, mean, var, eps, weight, bias):
    """Takes the axis that has as many places as there are scales."""
    if len(weight) == len(gamma):
        return backwards(gamma, beta, mean, var, eps, weight, bias)
    return fold_forward(gamma, beta, mean, var, eps, weight, bias)


def unsummed(gamma, beta, mean, var, eps, weight, bias):
    new, _ = fold_forward(gamma, beta, mean, var, eps, weight, bias)
    return new, bias


def tiled_at_the_end(gamma, beta, mean, var, eps, weight, bias):
    new, right = fold_forward(gamma, beta, mean, var, eps, weight, bias)
    return new, right if weight.ndim == 4 else tiled(gamma, beta, mean, var, eps, weight, bias)[1]


def averaged(gamma, beta, mean, var, eps, weight, bias):
    new, right = fold_forward(gamma, beta, mean, var, eps, weight, bias)
    return new, bias + (right - bias) / weight[0, 0].size


def of_new_weights(gamma, beta, mean, var, eps, weight, bias):
    new, _ = fold_forward(gamma, beta, mean, var, eps, weight, bias)
    t = beta - gamma / np.sqrt(var + eps) * mean
    return new, bias + (new.reshape(len(new), len(t), -1) * t.reshape(1, -1, 1)).sum(axis=(1, 2))


def padding(gamma, beta, mean, var, eps):
    return mean - beta * np.sqrt(var + eps) / gamma


def padding_in_numpy(*, gamma, beta, mean, var, eps):
    gamma, beta, mean, var = (a.asnumpy() for a in (gamma, beta, mean, var))
    s = gamma / numpy.sqrt(var + eps)
    return list(-(beta - s * mean) / s)


# --- 10.4 ---


def to_int8(x, r):
    return numpy.clip(numpy.rint(x * 127 / r), -127, 127).astype("int8")


def clipped_first(x, r):
    return np.round(np.clip(np.array(x), -r, r) * (127 / r)).astype("int8")


def one_by_one(*, x, r):
    q = [max(-127, min(127, round(float(v) / r * 127))) for v in x.ravel()]
    return numpy.array(q, dtype=numpy.int8).reshape(x.shape)


def best_range(x, ranges):
    r = min(ranges, key=lambda r: ((to_int8(x, r) * (r / 127) - x) ** 2).mean())
    return r, (abs(x) > r).sum()


def in_a_loop(*, x, ranges):
    best, least = None, math.inf
    for r in sorted(ranges):
        q = numpy.clip(numpy.round(x / r * 127), -127, 127)
        error = numpy.linalg.norm(x - q / 127 * r)
        if error < least:
            best, least = r, error
    outside = [v for v in x.tolist() if not -best <= v <= best]
    return [best, len(outside)]


def with_indices(x, ranges):
    errors = [numpy.square(to_int8(x, r).astype(float) * r / 127 - x).sum() for r in ranges]
    r = ranges[int(numpy.argmin(errors))]
    return numpy.float32(r), int(numpy.count_nonzero(x > r) + numpy.count_nonzero(x < -r))


def wrapped(x, r):
    return numpy.rint(x * 127 / r).astype("int64").astype("int8")


def clipped_last(x, r):
    return numpy.clip(numpy.rint(x * 127 / r).astype("int8"), -127, 127)


def truncated(x, r):
    return numpy.clip(x * 127 / r, -127, 127).astype("int8")


def absolute(x, ranges):
    r = min(ranges, key=lambda r: abs(to_int8(x, r) * (r / 127) - x).mean())
    return r, (abs(x) > r).sum()


def position(x, ranges):
    errors = [((to_int8(x, r) * (r / 127) - x) ** 2).mean() for r in ranges]
    r = int(numpy.argmin(errors))
    return r, (abs(x) > ranges[r]).sum()


# --- 10.5 ---


def for_pytorch(layers):
    found = {}
    for name, layer in layers.items():
        if isinstance(layer, nn.BatchNorm):
            found[f"{name}.weight"] = layer.gamma.data().asnumpy()
            found[f"{name}.bias"] = layer.beta.data().asnumpy()
            found[f"{name}.running_mean"] = layer.running_mean.data().asnumpy()
            found[f"{name}.running_var"] = layer.running_var.data().asnumpy()
            found[f"{name}.num_batches_tracked"] = numpy.array(0)
        else:
            found[f"{name}.weight"] = layer.weight.data().asnumpy()
            if layer.bias is not None:
                found[f"{name}.bias"] = layer.bias.data().asnumpy()
    return found


def by_ends(layers):
    """By the ends of Gluon's own names, in another order, in float64."""
    words = {"gamma": "weight", "beta": "bias", "running_mean": "running_mean"}
    found = {
        f"{n}.num_batches_tracked": numpy.int64(0) for n in layers if hasattr(layers[n], "beta")
    }
    for name, layer in reversed(layers.items()):
        for own, p in layer.params.items():
            end = own.removeprefix(layer.prefix)
            found[name + "." + words.get(end, end)] = p.data().asnumpy().astype("float64")
    return found


def by_attributes(*, layers):
    pairs = [("weight", "weight"), ("bias", "bias"), ("gamma", "weight"), ("beta", "bias")]
    pairs += [("running_mean", "running_mean"), ("running_var", "running_var")]
    return {
        f"{name}.{theirs}": getattr(layer, ours).data().asnumpy()
        for name, layer in layers.items()
        for ours, theirs in pairs
        if getattr(layer, ours, None) is not None
    } | {
        f"{name}.num_batches_tracked": numpy.zeros((), dtype="int64")
        for name, layer in layers.items()
        if type(layer) is nn.BatchNorm
    }


def entries(change):
    """The right entries, each changed: change(name, value) gives new ones."""

    def function(layers):
        return dict(
            new for name, value in for_pytorch(layers).items() for new in change(name, value)
        )

    return function


def swapped(layers):
    found = for_pytorch(layers)
    for name, layer in layers.items():
        if isinstance(layer, nn.BatchNorm):
            ends = f"{name}.weight", f"{name}.bias"
            found[ends[0]], found[ends[1]] = found[ends[1]], found[ends[0]]
    return found


def unguarded(layers):
    found = {}
    for name, layer in layers.items():
        if isinstance(layer, nn.BatchNorm):
            found |= for_pytorch({name: layer})
        else:
            found[f"{name}.weight"] = layer.weight.data().asnumpy()
            found[f"{name}.bias"] = layer.bias.data().asnumpy()
    return found


def all_alike(layers):
    return {f"{name}.weight": layer.weight.data().asnumpy() for name, layer in layers.items()}


# --- 10.6 ---


def moved_at_random(X, most):
    H, W = X.shape[2:]
    sides = (most, most)
    wide = np.pad(X, ((0, 0), (0, 0), sides, sides))
    places = numpy.random.randint(0, 2 * most + 1, size=(len(X), 2)).tolist()
    return np.stack([wide[i, :, d : d + H, r : r + W] for i, (r, d) in enumerate(places)])


def with_slices(X, most, draw=None):
    """Copies the part that stays; Python's random numbers, a NumPy array."""
    x, (H, W) = X.asnumpy(), X.shape[2:]
    Y = numpy.zeros_like(x)
    draw = draw or (lambda: (random.randint(-most, most), random.randint(-most, most)))
    for i in range(len(x)):
        r, d = draw()
        Y[i, :, max(d, 0) : H + min(d, 0), max(r, 0) : W + min(r, 0)] = x[
            i, :, max(-d, 0) : H + min(-d, 0), max(-r, 0) : W + min(-r, 0)
        ]
    return Y


def rolled(*, X, most):
    """Turned round, with a border of zeros wide enough."""
    rng = numpy.random.default_rng()
    wide = numpy.pad(X.asnumpy(), ((0, 0), (0, 0), (most, most), (most, most)))
    for image in wide:
        image[:] = numpy.roll(image, rng.integers(-most, most + 1, 2), axis=(1, 2))
    H, W = X.shape[2:]
    return np.array(wide[:, :, most : most + H, most : most + W])


def drawing(draw):
    return lambda X, most: with_slices(X, most, lambda: draw(most))


def turned_round(X, most):
    moved = [numpy.roll(x, numpy.random.randint(-most, most + 1, 2), (1, 2)) for x in X.asnumpy()]
    return np.array(moved)


def all_alike_moved(X, most):
    r, d = numpy.random.randint(-most, most + 1, 2)
    return with_slices(X, most, lambda: (r, d))


def seeded(X, most):
    numpy.random.seed(0)
    return moved_at_random(X, most)


def edges(X, most):
    H, W = X.shape[2:]
    wide = numpy.pad(X.asnumpy(), ((0, 0), (0, 0), (most, most), (most, most)), mode="edge")
    places = numpy.random.randint(0, 2 * most + 1, size=(len(X), 2)).tolist()
    return np.array([wide[i, :, d : d + H, r : r + W] for i, (r, d) in enumerate(places)])


def of_32(xp, join):
    """Windows of 32x32 pixels, whatever the size of the images."""

    def function(X, most):
        sides = (most, most)
        wide = xp.pad(X if xp is np else X.asnumpy(), ((0, 0), (0, 0), sides, sides))
        places = numpy.random.randint(0, 2 * most + 1, size=(len(X), 2)).tolist()
        return join([wide[i, :, d : d + 32, r : r + 32] for i, (r, d) in enumerate(places)])

    return function


def filled_32(X, most):
    Y = np.zeros_like(X)
    wide = np.pad(X, ((0, 0), (0, 0), (most, most), (most, most)))
    places = numpy.random.randint(0, 2 * most + 1, size=(len(X), 2)).tolist()
    for i, (r, d) in enumerate(places):
        Y[i] = wide[i, :, d : d + 32, r : r + 32]
    return Y


def by_mxnet(X, most):
    H, W = X.shape[2:]
    wide = np.pad(X, ((0, 0), (0, 0), (most, most), (most, most)))
    places = np.random.randint(0, 2 * most + 1, size=(len(X), 2))
    return np.stack([wide[i, :, d : d + H, r : r + W] for i, (r, d) in enumerate(places)])


def both_alike(most):
    r = random.randint(-most, most)
    return r, r


# --- 10.7 ---


def for_export(net, data):
    renew_statistics(net, data, batch_size=16)
    graph, weights = fold_batch_norm(*to_graph(net))
    return graph, weights


def written_into(net, data):
    """Takes the graph first, and reads the statistics anew after renewing."""
    graph, weights = to_graph(net)
    renew_statistics(net, data, batch_size=16)
    for name, p in net.collect_params().items():
        weights[name] = p.data().copy()
    return fold_batch_norm(graph, weights)


def by_hand(net, data):
    """Renews with code of its own, batches in order."""
    X, _ = data
    for start in range(0, len(X), 16):
        with autograd.record():
            Y = net(X[start : start + 16])
        Y.backward()
    npx.waitall()
    return list(fold_batch_norm(*to_graph(net)))


def as_before(net, data):
    graph, weights = fold_batch_norm(*to_graph(net))
    renew_statistics(net, data, batch_size=16)
    return graph, weights


def in_batches_of(batch_size):
    def function(net, data):
        renew_statistics(net, data, batch_size=batch_size)
        return fold_batch_norm(*to_graph(net))

    return function


def folded_first(net, data):
    folded = to_net(*fold_batch_norm(*to_graph(net)))
    renew_statistics(folded, data, batch_size=16)
    return to_graph(folded)


def folded_and_saved_first(net, data):
    graph, weights = fold_batch_norm(*to_graph(net))
    renew_statistics(to_net(graph, weights), data, batch_size=16)
    return graph, weights


def unfolded(net, data):
    renew_statistics(net, data, batch_size=16)
    return to_graph(net)


def half(net, data):
    graph, weights = to_graph(net)
    old = {name: a for name, a in weights.items() if "batchnorm" in name and "running" in name}
    last = sorted(old, key=list(weights).index)[-2:]
    renew_statistics(net, data, batch_size=16)
    return fold_batch_norm(graph, to_graph(net)[1] | {name: old[name] for name in last})


def largest(net, X, batch_size=64):
    found = [0.0] * len(net)
    for start in range(0, len(X), batch_size):
        Y = X[start : start + batch_size]
        for i, layer in enumerate(net):
            Y = layer(Y)
            found[i] = max(found[i], np.abs(Y).max().item())
    return found


def of_all_at_once(net, X, batch_size=64):
    found = []
    for layer in net:
        X = layer(X)
        found.append(abs(X.asnumpy()).max())
    return numpy.array(found)


def in_a_dictionary(net, X, *, batch_size=64):
    found = {}
    for start in range(0, len(X), batch_size):
        Y = X[start : start + batch_size]
        for i, layer in enumerate(net):
            Y = layer(Y)
            found.setdefault(i, []).append(max(-Y.min().item(), Y.max().item()))
    return {i: max(values) for i, values in found.items()}


def overwritten(net, X, batch_size=64):
    found = [0.0] * len(net)
    for start in range(0, len(X), batch_size):
        Y = X[start : start + batch_size]
        for i, layer in enumerate(net):
            Y = layer(Y)
            found[i] = np.abs(Y).max().item()
    return found


def without_places(net, X, batch_size=64):
    found = []
    for i, layer in enumerate(net):
        X = layer(X)
        found[i] = np.abs(X).max().item()
    return found


def whole_batches(net, X, batch_size=64):
    return largest(net, X[: len(X) // batch_size * batch_size], batch_size)


def appended(net, X, batch_size=64):
    found = []
    for start in range(0, len(X), batch_size):
        found += largest(net, X[start : start + batch_size])
    return found


RIGHT = {
    "batches_until": [(44, 459, counted), ("44", 459.0, by_logarithm), ([44], "459", simulated)],
    "foldable": [(2, 2, 3, 0), ("2", "2", "3", "0"), (2.0, [2], np.array([3]), 0)],
    "folded_forward": [
        (fold_forward, padding),
        (in_two_cases, padding_in_numpy),
        (in_numpy, padding),
    ],
    "integers": [(to_int8, best_range), (clipped_first, in_a_loop), (one_by_one, with_indices)],
    "for_pytorch": [(for_pytorch,), (by_ends,), (by_attributes,)],
    "moved_at_random": [(moved_at_random,), (with_slices,), (rolled,)],
    "renewed_for_export": [("d", for_export), ("(D)", written_into), ("d.", by_hand)],
    "calibrated": [("c", largest), ("C", of_all_at_once), ("c)", in_a_dictionary)],
}

WRONG = {  # beside the mistakes that the checks know, which the tests feed back
    "batches_until": [
        ((43, 459, counted), "a little more than 1 %"),
        ((40, 459, counted), "1.5 % is left"),
        ((30, 459, counted), "Try values of k"),
        ((45, 459, counted), "Look for the smallest k"),
        ((44, 44, counted), "PyTorch's default"),
        ((44, 1, counted), "weight of the new value"),
        ((44, 300, counted), "What is that of the old one"),
        ((44, 460, counted), "Look for the smallest k"),
        ((44, 459, lambda m, left: counted(m, left) - 1), "round up, not down"),
        (
            (44, 459, lambda m, left: next(k for k in range(1, 10**4) if m**k < left)),
            "*at most* that share",
        ),
        ((44, 459, lambda m, left: math.log(left) / math.log(m)), "number of batches is whole"),
        (
            (44, 459, lambda m, left: math.ceil(math.log(left) / math.log(m))),
            "momentum 0 by itself",
        ),
        ((44, 459, lambda m, left: counted(m, left) if m else 0), "already replaces"),
        ((44, 459, lambda m, left: counted(m, 0.01)), "left has no effect"),
        ((44, 459, lambda m, left: 2 * counted(m, left)), "the first that is large enough"),
    ],
    "foldable": [
        ((5, 2, 3, 0), "directly"),
        ((3, 2, 3, 0), "not for dense layers"),
        ((2, 5, 3, 0), "what the last one"),
        ((2, 3, 3, 0), "who else reads it"),
        ((2, 2, 4, 0), "who else reads it"),
        ((2, 2, 7, 0), "reads a concatenation"),
        ((2, 2, 3, 2), "one and the same weights"),
        ((9, 2, 3, 0), "folds fewer"),
    ],
    "folded_forward": [
        ((tiled, padding), "repeated for the pixels"),
        ((backwards, padding), "axis 1"),
        ((by_length, padding), "axis 1"),
        ((tiled_at_the_end, padding), "repeated for the pixels"),
        ((averaged, padding), "do not take their mean"),
        ((unsummed, padding), "reach the output too"),
        ((of_new_weights, padding), "through the old weights"),
        ((lambda *a: fold_forward(*a)[0], padding), "return new_weight, new_bias"),
        ((lambda gamma, *_: np.expand_dims(gamma, (0, 2, 3)), padding), "one axis at a time"),
        ((fold_forward, lambda g, b, m, v, e: 0 * m), "does not stay zero"),
        ((fold_forward, lambda g, b, m, v, e: m), "becomes beta"),
        ((fold_forward, lambda g, b, m, v, e: m + 1), "turn into zero"),
        ((fold_forward, lambda g, b, m, v: m), "how many, and in which order"),
    ],
    "integers": [
        ((wrapped, best_range), "comes back at the other end"),
        ((clipped_last, best_range), "convert to int8 last"),
        ((truncated, best_range), "drops the decimals"),
        ((lambda x, r: to_int8(x, r).astype("float32"), best_range), "astype('int8')"),
        ((lambda x, r: to_int8(x, r) * r / 127, best_range), "that the integers represent"),
        ((lambda x, r: to_int8(x, 1.1 * r), best_range), "Multiply by 127 / r"),
        ((lambda x, r: to_int8(x, r * 127 / 128), best_range), "The factor is 127 / r"),
        ((to_int8, absolute), "Square the errors"),
        ((to_int8, position), "a position in the list"),
        ((to_int8, lambda x, ranges: (max(ranges), 0)), "largest range clips"),
        ((to_int8, lambda x, ranges: best_range(x, ranges)[::-1]), "The range comes first"),
        ((to_int8, lambda x, ranges: best_range(x, ranges)[0]), "return r, clipped"),
        (
            (to_int8, lambda x, ranges: (best_range(x, ranges)[0], 0)),
            "whose absolute value is larger",
        ),
    ],
    "for_pytorch": [
        ((entries(lambda n, v: [] if "num_b" in n else [(n, v)]),), "a fifth entry"),
        ((entries(lambda n, v: [(n.replace(".weight", ".gamma"), v)]),), "calls gamma weight"),
        ((entries(lambda n, v: [(n.replace("running", "moving"), v)]),), "running_mean"),
        ((entries(lambda n, v: [(n.replace(".", "_"), v)]),), "a dot and the kind"),
        ((entries(lambda n, v: [("net." + n, v)]),), "and nothing else"),
        ((entries(lambda n, v: [(n, v), ("stem.0.bias", v)]),), "leave it out"),
        ((entries(lambda n, v: [] if n == "hidden.bias" else [(n, v)]),), "entry for it"),
        ((entries(lambda n, v: [] if n == "fc.weight" else [(n, v)]),), "An entry is missing"),
        ((entries(lambda n, v: [(n, np.array(v))]),), ".asnumpy()"),
        ((entries(lambda n, v: [(n, 0 if "num_b" in n else v)]),), "numpy.array(0)"),
        ((entries(lambda n, v: [(n, v.astype("float32"))]),), "it is an integer"),
        ((entries(lambda n, v: [(n, v.reshape(1) if "num_b" in n else v)]),), "not a row"),
        ((entries(lambda n, v: [(n, v + 1 if "num_b" in n else v)]),), "a single number, 0"),
        ((entries(lambda n, v: [(n, v.T if v.ndim == 2 else v)]),), "do not transpose"),
        ((entries(lambda n, v: [(n, v**0.5 if "var" in n else v)]),), "not its root"),
        ((entries(lambda n, v: [(n, 2 * v)]),), "stem.0.weight: copy the array as it is"),
        ((entries(lambda n, v: [(n, v + 1e-5 if "norm.w" in n else v)]),), "as it is"),
        ((entries(lambda n, v: [(n, v + 1e-5 if "var" in n else v)]),), "adds eps itself"),
        ((entries(lambda n, v: [(n, v.astype("int32"))]),), "Leave the type as it is"),
        ((swapped,), "this is bias of the same layer"),
        ((unguarded,), "has the bias None"),
        ((all_alike,), "nn.BatchNorm has gamma and beta"),
        ((lambda layers: {n: layers[n].bias.data() for n in ("norm",)},), "has gamma and beta"),
        ((lambda layers: {n: layers[n].gamma.data() for n in layers},), "ask isinstance first"),
        ((lambda layers: list(for_pytorch(layers).values()),), "Begin with found = {}"),
        ((lambda layers: {},), "An entry is missing"),
    ],
    "moved_at_random": [
        ((lambda X, most: X,), "moved alike"),
        ((all_alike_moved,), "moved alike"),
        ((turned_round,), "must not come in on the other"),
        ((edges,), "with zeros where nothing was"),
        ((of_32(np, np.stack),), "from X.shape"),
        ((of_32(numpy, numpy.stack),), "from X.shape"),
        ((of_32(numpy, np.array),), "from X.shape"),
        ((filled_32,), "from X.shape"),
        ((by_mxnet,), "draw with numpy.random"),
        ((seeded,), "Two calls gave the same"),
        ((lambda X, most: moved_at_random(X, most + 1),), "The numbers go from -1 to 1"),
        ((lambda X, most: 0.5 * moved_at_random(X, most),), "Its lightness"),
        ((lambda X, most: 0 * X,), "all dark"),
        ((lambda X, most: moved_at_random(X, 1),), "`most`, never comes"),
        ((drawing(lambda m: (random.randint(-m, m), 0)),), "in one direction only"),
        ((drawing(lambda m: (0, random.randint(-m, m))),), "in one direction only"),
        (
            (drawing(lambda m: (random.randint(1 - m, m), random.randint(1 - m, m))),),
            "-most, never",
        ),
        ((drawing(lambda m: (random.randrange(-m, m), random.randrange(-m, m))),), "upper limit"),
        ((drawing(both_alike),), "depend on each other"),
        (
            (drawing(lambda m: random.choice([(m, 0), (-m, 0), (0, m), (0, -m)])),),
            "Some combinations",
        ),
        ((lambda X, most: moved_at_random(X, most)[:, :, 1:],), "shape"),
        ((lambda X, most: numpy.random.randint(-most, most, shape=len(X)),), "size=..."),
    ],
    "renewed_for_export": [
        (("a", for_export), "0.9 ** 120"),
        (("b", for_export), "reads eps from the graph"),
        (("c", for_export), "copies all parameters"),
        (("d", as_before), "The symptom is still there"),
        (("d", lambda net, data: fold_batch_norm(*to_graph(net))), "The symptom is still there"),
        (("d", folded_first), "no statistics left"),
        (("d", folded_and_saved_first), "no statistics left"),
        (("d", in_batches_of(128)), "all batches of 16"),
        (("d", in_batches_of(64)), "Larger batches would be fewer"),
        (("d", half), "Are both normalizations renewed"),
        (("d", unfolded), "still there. Fold them"),
        (("d", lambda net, data: for_export(net, data)[0]), "return graph, weights"),
        (("d", lambda net, data: (*for_export(net, data), {})), "return graph, weights"),
        (("d", lambda net, data: net), "return graph, weights"),
    ],
    "calibrated": [
        (("a", largest), "larger with it"),
        (("b", largest), "may end beyond"),
        (("d", largest), "is in prediction mode"),
        (("c", overwritten), "The symptom is still there"),
        (("c", without_places), "needs a place for each layer"),
        (("c", whole_batches), "last, incomplete batch counts"),
        (("c", lambda net, X, batch_size=64: largest(net, X[:batch_size])), "Only the first batch"),
        (("c", appended), "shape"),
        (("c", lambda net, X, batch_size: largest(net, X)), "how many, and in which order"),
        (("c", lambda net, X, batch_size=64: largest(net, 1.1 * X)), "largest absolute value"),
        (("c", lambda net, X, batch_size=64: largest(net, X)[1:]), "shape"),
    ],
}
