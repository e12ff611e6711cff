"""The confusion matrix says percent with errors."""

import pytest

from hepjax import metrics, plot


def test_confusion_writes_percent_with_errors(ax):
    result = metrics.confusion([0, 0, 0, 0, 1, 1], [0, 0, 0, 1, 1, 1], 3)
    plot.confusion(ax, result, ["QCD", "W", "top"])
    texts = [text.get_text() for text in ax.texts]
    assert texts == [
        "75.0\n±21.7",
        "25.0\n±21.7",
        "0.0\n±0.0",
        "0.0\n±0.0",
        "100.0\n±0.0",
        "0.0\n±0.0",
    ]
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["QCD", "W", "top"]
    assert ax.get_xlabel() == "Predicted class [% of true class]"
    with pytest.raises(ValueError, match="names: found 2 names"):
        plot.confusion(ax, result, ["QCD", "W"])
