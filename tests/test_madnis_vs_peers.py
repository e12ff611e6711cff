"""The benchmark of integration: both sides integrate the same, and ratios are what they say."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax.integration import integrator, vegas
from hepjax.integration.amplitudes import closed_forms
from hepjax.integration.kinematics import maps


@pytest.fixture(scope="module")
def benchmark(load_experiment):
    return load_experiment("benchmarks/madnis_vs_peers")


@pytest.fixture(scope="module")
def cases(benchmark, double):
    return benchmark._madnis_cases.cases()


@pytest.fixture(scope="module")
def double():
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", before)


def test_cross_section_has_the_three_exchanges(benchmark, double):
    """Where one exchange is all there is, it is that one alone: the photon's is textbook."""
    of = benchmark._madnis_cases
    cos = np.linspace(-1, 1, 5)
    s = np.full(5, 1e-4)
    charge2 = (2 / 3) ** 2
    size = math.pi * 0.00781751**2 / (2 * s) * charge2 / 3 * (1 + cos**2) * closed_forms.PICOBARN
    assert np.allclose(of.cross_section(s, cos), size, rtol=1e-6)
    peak = of.cross_section(np.full(5, 500.0**2), cos)
    assert (peak > 50 * of.cross_section(np.full(5, 450.0**2), cos)).all()


def test_integral_of_the_lineshape(benchmark, cases, double):
    """The rule agrees with a fine grid between the peaks' own maps."""
    of, low, high = benchmark._madnis_cases, *benchmark._madnis_cases.LIMITS
    at, weight = np.polynomial.legendre.leggauss(40)
    edges = [low, 60.0**2, *(m**2 for m in (85.0, 97.0, 150.0, 450.0, 550.0, 1000.0)), high]
    total = 0.0
    for first, last in itertools.pairwise(edges):
        mass, width = (91.1876, 2.50419) if last < 300.0**2 else (500.0, 5.0)
        u = (np.linspace(0, 1, 2000, endpoint=False) + 1 / 4000)[:, None]
        s, log_slope = maps.breit_wigner(u, first, last, mass, width)
        total += float((weight * of.cross_section(s, at) * jnp.exp(log_slope)).sum() / 2000)
    assert cases["lineshape"].exact == pytest.approx(total, rel=1e-5)


def test_channels_of_the_lineshape(cases, double):
    """Prior weights add up to one, and the channels to the integral."""
    case = cases["lineshape"]
    u = jax.random.uniform(jax.random.key(0), (60_000, 2))
    channel = jnp.arange(60_000) % 3
    found = case.integrand.function(u, channel)
    assert np.allclose(jnp.exp(found.log_prior).sum(1), 1)
    assert (jnp.abs(found.features) <= 1 + 1e-12).all()
    alpha = jnp.exp(jnp.take_along_axis(found.log_prior, channel[:, None], 1)[:, 0])
    weight = 3 * np.asarray(alpha * found.value)
    error = weight.std() / 60_000**0.5
    assert abs(weight.mean() - case.exact) < 4 * error < 0.1 * case.exact


def test_toys_are_those_of_the_library(cases, double):
    x = jnp.array([[1 / 3, 1 / 3], [0.5, 0.85]])
    camel = cases["camel2"].integrand.function(x, None).value
    assert float(camel[0]) == pytest.approx((1 + math.exp(-50 / 9)) / (0.08 * math.pi))
    assert cases["ring_line"].integrand.function(x, None).value[1] == pytest.approx(1)
    assert [cases[k].n_steps for k in ("camel4", "camel8", "lineshape")] == [300, 500, 300]


def test_medians_and_ratios(benchmark):
    assert benchmark.of.middle([1.0, 2.0, 6.0])[0] == 2
    assert benchmark.of.middle([1.0, 3.0])[1] == pytest.approx(1.2533 * 2**0.5 / 2**0.5)
    found = benchmark.of.ratio("step", [1.0, 2.0, 2.0], [2.0, 8.0, 5.0])
    assert found["step_ratio"] == pytest.approx(0.4)
    assert (found["step_ratio_min"], found["step_ratio_max"]) == (0.25, 0.5)
    assert found["step_ratio_seconds_madnis"] == 5
    spread = benchmark.of.spreads([0.5, 0.6, 0.7], [0.6, 0.75, 0.9])
    assert spread["rsd_ratio"] == pytest.approx(0.8)
    parts = [spread[f"{k}_error"] / spread[k] for k in ("rsd", "rsd_madnis")]
    assert spread["rsd_ratio_error"] == pytest.approx(0.8 * math.hypot(*parts))


def test_seeds_are_no_others(benchmark):
    assert not set(benchmark.numbered(0, 100)) & set(benchmark.numbered(1, 100))


def test_our_side(benchmark, cases, double):
    """It trains, begins anew with each seed, and gives weights whose mean is the integral."""
    case = cases["camel4"]._replace(n_steps=4)
    settings = integrator.Settings(n_points=256, n_steps=4, loss=case.loss)
    side = benchmark.sides.ours(case, settings, 2, 512)
    assert side.begin(0) == 12_792
    first = side.sample(2048)[1]
    assert side.train(4) > 0
    seconds, second = side.sample(2048)
    assert seconds > 0
    assert len(second.weight) == 2048
    assert np.std(second.weight) < np.std(first.weight)
    assert abs(second.weight.mean() - case.exact) < 5 * second.weight.std() / 2048**0.5
    side.begin(0)
    assert np.allclose(side.sample(512)[1].log_density, 0, atol=1e-4)  # the identity again


def scripted(benchmark, cases, madnis_count=12_792):
    """Two sides that only tell what they are told."""
    weight = np.linspace(0.5, 1.5, 40)

    def side(seconds, weights, count):
        sample = benchmark.sampling.Sampled(None, np.zeros(40, int), weights, None, None)
        return benchmark.sides.Side(
            lambda seed: count, lambda n: seconds * n, lambda n: (seconds * 80, sample)
        )

    pair = side(1.0, weight, 12_792), side(4.0, weight**3, madnis_count)
    config = benchmark.Config(n_seeds=3, n_turns=2, n_sample=80)
    return benchmark.trained(cases["camel4"], pair, config, range(3))


def test_trained_compares_what_sides_tell(benchmark, cases):
    found = scripted(benchmark, cases)
    weight = np.tile(np.linspace(0.5, 1.5, 40), 2)
    assert found["step_ratio"] == found["sample_ratio"] == 0.25
    assert found["step_ratio_seconds_ours"] == 1
    assert found["sample_ratio_seconds_madnis"] == 8
    assert found["rsd"] == pytest.approx(weight.std(ddof=1) / weight.mean())
    assert found["rsd_madnis"] == pytest.approx((weight**3).std(ddof=1) / (weight**3).mean())
    assert found["pull"] == pytest.approx(3**0.5 * found["by_seed"]["pull"][0])
    assert len(found["by_seed"]["rsd_madnis"]) == 3


def test_trained_wants_as_many_parameters(benchmark, cases):
    with pytest.raises(ValueError, match="parameters: 12792 here, 12000 of madnis"):
        scripted(benchmark, cases, 12_000)


def test_turns_divide_a_training(benchmark, restored_precision, monkeypatch, tmp_path):
    monkeypatch.setattr(benchmark.peers, "classical", lambda cache: None)
    with pytest.raises(ValueError, match="n_turns: 7, expected to divide 300"):
        benchmark.main(benchmark.Config(out=tmp_path / "run", n_turns=7))


@pytest.mark.parametrize("beta", [0.0, 0.75])
def test_vegas_compared(benchmark, cases, double, beta):
    """vegas' answers are made up: twice the spread at the same number of points."""
    settings = vegas.Settings(n_points=2000, n_bins=50, beta=beta)
    own = benchmark.peers.frozen(
        lambda x: cases["camel2"].integrand.function(x, None).value, 2, settings
    )
    asked = []

    def ask(*words):
        asked.append(words)
        one = own(words[-1])
        return vegas.Estimate(one.value, 2 * one.error, one.n, 2 * one.rsd)

    found = benchmark.peers.compared(ask, "camel2", cases["camel2"], settings, range(3))
    assert [words[0] for words in asked] == ["camel2"] * 3
    assert found["rsd_ratio"] == pytest.approx(0.5)
    assert abs(found["pull"]) < 5
    assert found["n"] == found["n_vegas"] == 20_000
    assert found["rsd"] < 1 if beta == 0 else found["rsd"] < 0.3


def test_vegas_of_channels(benchmark, cases):
    """Standard deviations add up, and so do integrals; calls are shared."""
    calls = []

    def ask(name, channel, dim, settings, seed):
        calls.append((channel, settings.n_points))
        return vegas.Estimate(1.0 + channel, 0.1, 100, None)

    rsd = benchmark.peers.of_channels(ask, "lineshape", cases["lineshape"], 30_000, 0)
    assert rsd == pytest.approx(3 / 6)
    assert calls == [(0, 1000), (1, 1000), (2, 1000)]


def test_plot(benchmark, tmp_path):
    run = benchmark.runs.create(tmp_path / "run", {})
    names = ("rsd", "rsd_madnis", "rsd_vegas")
    one = {"by_seed": dict(zip(names, ([0.5, 0.6], [0.7, 0.8], [2.0])))}
    benchmark.of.draw_plot(run, {"camel4": one, "camel8": one})
    assert (tmp_path / "run" / "plots" / "rsd.png").exists()


def test_against_the_peers(benchmark, restored_precision, tmp_path):
    """All of it, tiny, where the peers' environment is made already."""
    config = benchmark.Config(
        out=tmp_path / "run",
        cases=("camel4", "lineshape"),
        toys=("camel2", "ring_line"),
        n_seeds=2,
        n_steps=4,
        n_points=128,
        n_turns=2,
        n_sample=2000,
        chunk=500,
        vegas_seeds=2,
        vegas_points=2000,
    )
    if not (config.cache / "complete").exists():
        pytest.skip(f"{config.cache} is not there: the benchmark makes it")
    results = benchmark.main(config)
    assert results["camel4"]["n_parameters"] == 12_792
    for name in config.cases:
        found = results[name]
        assert found["integrands_apart"] < 1e-10
        assert abs(found["pull"]) < 5
        assert abs(found["pull_madnis"]) < 5
        assert 0.5 < found["rsd_ratio"] < 2
        assert found["step_ratio"] > 0
        assert found["sample_ratio"] > 0
    for name in config.toys:
        assert 0.8 < results["vegas"][name]["map_rsd_ratio"] < 1.25
        assert 0.8 < results["vegas"][name]["plus_rsd_ratio"] < 1.25
        assert abs(results["vegas"][name]["map_pull_vegas"]) < 5
    assert (tmp_path / "run" / "plots" / "rsd.png").exists()
