"""The sliders of notebook 10, which nobody moves where notebooks are only executed."""

from pathlib import Path

import ipywidgets
import nbformat
import pytest

FILE = Path(__file__).parent.parent / "notebooks/10_from_training_to_use.ipynb"


@pytest.fixture
def section():
    """What the cells of the last section define, with a network that has learned nothing."""
    code = [
        cell.source for cell in nbformat.read(FILE, as_version=4).cells if cell.cell_type == "code"
    ]
    space = {}
    exec(code[0], space)
    untrained = "    net = resnet18()\n    net.initialize()\n    net(test[0][:1])\n    return net"
    exec(f"def trained_net():\n{untrained}", space)
    for source in code:
        if source.startswith(("def pixels_that_count", "NAMES", "def look_at", "TROUSERS")):
            exec(source, space)
    (space["sliders"],) = (source for source in code if source.startswith("def play"))
    return space


def test_each_slider_changes_what_is_shown(section, monkeypatch):
    made, shown = [], []
    monkeypatch.setenv("JPY_SESSION_NAME", "notebook")
    monkeypatch.setattr(
        ipywidgets, "interact", lambda f, **of: made.append(ipywidgets.interactive(f, **of))
    )
    exec(section["sliders"], section)
    section["look_at"] = lambda net, X, axes: shown.append(X)
    *sliders, _ = made[0].children
    moves = {"number": 7, "right": 2, "down": -3, "light": 0.5, "drawing": section["TROUSERS"]}
    assert [slider.description for slider in sliders] == list(moves)
    images = section["test"][0]
    wanted = [images[7:8]]
    wanted.append(section["changed"](wanted[0], 2))
    wanted.append(section["changed"](wanted[0], 2, -3))
    wanted.append(section["changed"](wanted[0], 2, -3, 0.5))
    wanted.append(section["changed"](section["drawn"](section["TROUSERS"]), 2, -3, 0.5))
    for slider, value, X in zip(sliders, moves.values(), wanted):
        slider.value = value
        assert (shown[-1] == X).all()
    assert len(shown) == len(moves)


def test_without_a_browser_there_is_a_line(section, monkeypatch, capsys):
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    exec(section["sliders"], section)
    assert "play(...)" in capsys.readouterr().out
    section["play"](number=7, right=2, light=0.5)
    section["play"](drawing=section["TROUSERS"])


def test_a_drawing_that_does_not_fit_is_refused(section, monkeypatch, capsys):
    with pytest.raises(ValueError, match=r"14 lines of 14 characters.*your 1 lines: \[6\]"):
        section["drawn"]("..##..")
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    exec(section["sliders"], section)
    section["play"](drawing="..##..")  # a line instead of a traceback
    assert "14 lines of 14 characters" in capsys.readouterr().out
