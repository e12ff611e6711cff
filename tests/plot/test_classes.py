"""The confusion matrix says percent with errors; reliability says what is said and what is true."""

import numpy as np
import pytest

from hepjax import calibration, metrics, plot


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


def too_sure(factor, n=4000):
    """Logits that are `factor` times as large as the truth has them, with their labels."""
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(n, 2))
    return factor * logits, (logits + rng.gumbel(size=logits.shape)).argmax(1)


def test_reliability_draws_what_is_true_against_what_is_said(ax, legend):
    results = {
        name: calibration.reliability(*too_sure(factor), n_bins=8, n_toys=20)
        for name, factor in (("before", 3), ("after", 1))
    }
    assert plot.reliability(ax, results) is ax
    for result, bars in zip(results.values(), ax.containers):
        np.testing.assert_allclose(bars.lines[0].get_data(), (result.said, result.true))
        half = [np.ptp(s[:, 1]) / 2 for s in bars.lines[2][0].get_segments()]
        np.testing.assert_allclose(half, result.error)
    gap = results["before"].calibration_error
    assert legend(ax)[1] == f"before: {gap.value:.4f} ± {gap.error:.4f}"
    assert legend(ax)[0] == f"perfect, finite sample: {results['before'].noise:.4f}"
    diagonal = ax.get_lines()[0]
    np.testing.assert_array_equal(diagonal.get_xdata(), diagonal.get_ydata())
    assert ax.get_xlabel() == "Probability of the chosen class"


def test_reliability_of_a_network_too_sure_lies_below_zero(both):
    result = calibration.reliability(*too_sure(3), n_bins=8, n_toys=20)
    plot.reliability(both[0], {"raw": result}, difference_ax=both[1])
    (_, y), _ = (line.get_data() for line in both[1].get_lines())
    np.testing.assert_allclose(y, result.true - result.said)
    assert (y[2:] < 0).all()
    assert len(both[1].collections) == 1  # its errors
    assert both[1].get_xlabel() == "Probability of the chosen class"
    assert both[0].get_xlabel() == ""


def test_reliability_is_saved_without_a_warning(tmp_path):
    with plot.figure_with_ratio(tmp_path / "reliability") as (ax, difference):
        results = {"raw": calibration.reliability(*too_sure(2), n_toys=20)}
        plot.reliability(ax, results, difference_ax=difference)
    assert (tmp_path / "reliability.png").stat().st_size > 10_000
