"""Taggers by name, and errors for names that do not exist."""

import pytest

from hepjax.jets import taggers


@pytest.mark.parametrize("name", ["part", "particlenet", "pfn", "efn"])
@pytest.mark.parametrize("size", ["small", "full"])
def test_all_names_and_sizes(name, size):
    assert callable(taggers.build(name, size, n_classes=3).init)


def test_bad_names(tmp_path):
    with pytest.raises(ValueError, match="found 'lstm'"):
        taggers.build("lstm", "small", n_classes=2)
    with pytest.raises(ValueError, match="found 'tiny'"):
        taggers.build("part", "tiny", n_classes=2)
    with pytest.raises(ValueError, match="no run folder"):
        taggers.restore(tmp_path)
