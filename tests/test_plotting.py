"""The picture of a history, and colours that one can tell apart."""

import base64
import itertools

from d2lutils import History
from d2lutils.plotting import COLORS, plot_history, plt, show

import numpy
import pytest
from matplotlib.colors import to_rgb

TRAINED = History([2.0, 1.0, 0.5], [0.3, 0.6, 0.8], seconds=[1.0, 1.0, 1.0])
TESTED = History([2.0, 1.0], [0.3, 0.6], [2.1, 1.2], [0.25, 0.55], [1.0, 1.0])
# What is left of red, green and blue light to those who lack one kind of cone:
# Machado, Oliveira & Fernandes 2009, table for severity 1.
EYES = {
    "of most people": numpy.eye(3),
    "without red cones": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "without green cones": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
}


def curves(ax):
    return {line.get_label(): line.get_ydata().tolist() for line in ax.lines}


def test_loss_and_accuracy_stand_against_the_epochs():
    axes = plot_history(TESTED, "with BN", COLORS["with BN"])
    loss, accuracy = axes
    assert curves(loss) == {"with BN train": [2, 1], "with BN test": [2.1, 1.2]}
    assert curves(accuracy) == {"with BN train": [0.3, 0.6], "with BN test": [0.25, 0.55]}
    for ax, what in zip(axes, ("loss", "accuracy")):
        assert (ax.get_xlabel(), ax.get_ylabel()) == ("epoch", what)
        assert all(line.get_xdata().tolist() == [1, 2] for line in ax.lines)
        assert ax.get_xticks().tolist() == [1, 2]
        assert [line.get_linestyle() for line in ax.lines] == ["--", "-"]
        assert {line.get_color() for line in ax.lines} == {COLORS["with BN"]}
    texts = [text.get_text() for text in axes[0].get_legend().get_texts()]
    assert texts == ["with BN train", "with BN test"]
    axes[0].figure.canvas.draw()


def test_without_a_test_set_there_is_one_curve():
    axes = plot_history(TRAINED, "plain")
    assert curves(axes[0]) == {"plain train": [2, 1, 0.5]}
    assert curves(axes[1]) == {"plain train": [0.3, 0.6, 0.8]}


def test_two_histories_share_axes():
    _, pair = plt.subplots(1, 2)
    assert plot_history(TESTED, "plain", COLORS["plain"], pair) is pair
    plot_history(TESTED, "residual", COLORS["residual"], pair)
    assert len(pair[0].lines) == len(pair[1].lines) == 4
    assert len(pair[0].get_legend().get_texts()) == 4
    colors = [line.get_color() for line in pair[0].lines]
    assert colors == 2 * [COLORS["plain"]] + 2 * [COLORS["residual"]]


def test_train_and_test_share_a_color_where_none_is_chosen():
    axes = plot_history(TESTED)
    assert len({line.get_color() for line in axes[0].lines}) == 1


# --- colours ---


def lab(color, eye):
    """A colour as such an eye sees it, in CIE L*a*b* (white D65), where distances mean something."""
    srgb = numpy.array(to_rgb(color))
    linear = numpy.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    linear = numpy.clip(eye @ linear, 0, 1)
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    xyz = to_xyz @ linear / [0.9505, 1, 1.089]
    x, y, z = numpy.where(xyz > 0.008856, numpy.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return numpy.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def test_every_thing_has_a_color_of_its_own():
    assert len({to_rgb(color) for color in COLORS.values()}) == len(COLORS)
    assert {"without BN", "with BN", "plain", "residual", "dense"} <= set(COLORS)


@pytest.mark.parametrize("eye", EYES)
def test_colors_can_be_told_apart(eye):
    seen = {name: lab(color, numpy.array(EYES[eye])) for name, color in COLORS.items()}
    close = {
        (a, b): round(numpy.linalg.norm(seen[a] - seen[b]), 1)
        for a, b in itertools.combinations(COLORS, 2)
        if numpy.linalg.norm(seen[a] - seen[b]) < 10
    }
    assert close == {}


@pytest.mark.parametrize("name", COLORS)
def test_a_line_stands_out_from_white_paper(name):
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(COLORS[name])
    ]
    luminance = numpy.dot(linear, [0.2126, 0.7152, 0.0722])
    assert 1.05 / (luminance + 0.05) >= 3  # WCAG 2.2, success criterion 1.4.11


def test_a_figure_is_shown_with_a_sentence_for_those_who_cannot_see_it(monkeypatch):
    shown = []
    monkeypatch.setattr("d2lutils.plotting.display", lambda data, raw: shown.append((data, raw)))
    plt.plot([1, 2])
    show('The loss falls, "fast" & far.')
    ((data, raw),) = shown
    assert raw and data["text/plain"] == 'The loss falls, "fast" & far.'
    assert 'alt="The loss falls, &quot;fast&quot; &amp; far."' in data["text/html"]
    assert f"base64,{data['image/png']}" in data["text/html"]
    assert base64.b64decode(data["image/png"]).startswith(b"\x89PNG")
    assert plt.get_fignums() == []


def test_a_figure_without_a_sentence_is_refused():
    with pytest.raises(ValueError, match="alt must say in a sentence what the figure shows"):
        show(" ")
