"""What is too sure is widened by as much, where it is, and the table is kept."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax import runs
from hepjax.neutrino import posterior, recalibration


@pytest.fixture(scope="module")
def right(tiny, simulate):
    """Posteriors of 6,400 events and directions that follow them: 64 events, 100 times each."""
    pulses, _ = simulate(jax.random.key(0), 64)
    variables = posterior.init(tiny, jax.random.key(1), pulses)
    seen = posterior.look(tiny, pulses)
    found = posterior.found(tiny, variables, seen)
    found = found._replace(lens=0.1 * found.lens)
    n, _ = posterior.sample(tiny, found, jax.random.key(2), 100)
    z = jnp.linspace(-1, 1, 64)
    terms = posterior.terms(seen).at[:, 1].set(z**2).at[:, 2].set(z**3).at[:, 3].set(z**4)
    again = jax.tree.map(lambda x: jnp.tile(x, (100,) + (1,) * (x.ndim - 1)), (found, terms))
    return *again, n.reshape(-1, 3)


@pytest.mark.smoke
def test_a_posterior_that_is_right_stays(tiny, right):
    table, gain = recalibration.solve(tiny, *right)
    assert 0 <= gain < 3e-3
    width, odds = np.asarray(right[1] @ table).T
    assert np.abs(width).max() < 0.15
    assert np.abs(odds.mean()) < 0.3


@pytest.mark.smoke
def test_a_wrong_table_is_found_again(tiny, right):
    """Widths that are wrong by a table, and odds that are too small, come back as they were."""
    found, terms, direction = right
    wrong = jnp.zeros((len(posterior.TERMS), 2)).at[0].set(jnp.array([-0.2, -1.5]))
    wrong = wrong.at[1, 0].set(-0.25)
    worse = posterior.recalibrated(found, terms, wrong)
    table, gain = recalibration.solve(tiny, worse, terms, direction)
    best = posterior.log_prob(tiny, found, direction).mean()
    assert gain > 0.05
    again = posterior.recalibrated(worse, terms, jnp.asarray(table, jnp.float32))
    assert float(best - posterior.log_prob(tiny, again, direction).mean()) < 2e-3
    np.testing.assert_allclose(terms @ (wrong + table)[:, 0], 0, atol=0.15)


def test_shares_stay_those_of_modes(right):
    found, terms, _ = right
    table = 0.3 * jax.random.normal(jax.random.key(3), (len(posterior.TERMS), 2))
    other = posterior.recalibrated(found, terms, table)
    before, after = (jax.nn.logsumexp(x.log_share, -1) for x in (found, other))
    np.testing.assert_allclose(before, after, atol=1e-5)
    width = jnp.exp(terms @ table[:, 0])
    np.testing.assert_allclose(other.lens, found.lens * width[:, None, None, None], rtol=1e-4)


def test_it_is_part_of_the_variables_and_kept_in_the_folder(tiny, simulate, tmp_path):
    run = runs.create(tmp_path / "run", {})
    pulses, truth = simulate(jax.random.key(4), 64)
    variables = dict(posterior.init(tiny, jax.random.key(1), pulses))
    seen = posterior.look(tiny, pulses)
    asked = []

    def new(k):
        asked.append(int(k))
        return seen, truth.direction

    table = recalibration.fit(run, tiny, variables, new, 150)
    assert sorted(asked) == [0, 1, 2]
    kept = json.loads((run.path / recalibration.FILE).read_text())
    assert kept["n_events"] == 192
    assert kept["gain"] > 0
    np.testing.assert_allclose(recalibration.read(run.path), table, rtol=1e-6)
    assert recalibration.fit(run, tiny, variables, new, 150).tolist() == table.tolist()
    assert len(asked) == 3
    plain = posterior.found(tiny, variables, seen)
    better = posterior.found(tiny, variables | {posterior.RECALIBRATION: table}, seen)
    gain = [float(posterior.log_prob(tiny, x, truth.direction).mean()) for x in (plain, better)]
    assert gain[1] - gain[0] == pytest.approx(kept["gain"], abs=1e-4)


def test_a_table_of_other_terms_is_refused(tmp_path):
    assert recalibration.read(tmp_path) is None
    (tmp_path / recalibration.FILE).write_text(json.dumps({"terms": ["one"]}))
    with pytest.raises(
        ValueError, match=r"recalibration.json: terms \['one'\], expected \['one', 'z2'"
    ):
        recalibration.read(tmp_path)
