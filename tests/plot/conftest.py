"""Axes without a display, and what a legend says."""

import pytest
from matplotlib.figure import Figure

from hepjax.plot import style


@pytest.fixture(autouse=True)
def laid_out(plain_plots, monkeypatch):
    """Here plots have their layout."""
    monkeypatch.setattr(style, "LAYOUT", "constrained")
    monkeypatch.setattr(style, "FORMATS", ("png", "pdf"))


@pytest.fixture
def ax():
    return Figure().add_subplot()


@pytest.fixture
def both():
    return Figure().subplots(2, 1, sharex=True)


@pytest.fixture
def legend():
    """The function legend(ax) -> its texts."""
    return lambda ax: [text.get_text() for text in ax.get_legend().get_texts()]
