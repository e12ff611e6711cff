"""Events for a shower: Pythia showers them, colours are as MadGraph draws them, bad events."""

import importlib.util

import jax
import numpy as np
import pytest

from hepjax import lorentz
from hepjax.integration.amplitudes import closed_forms, colour, standard_model, tree
from hepjax.integration.events import assembly, unweighting, variations
from hepjax.integration.hadrons import alpha_s, pdf, processes
from hepjax.io import lhe, lhe_reader

needs_pythia = pytest.mark.skipif(
    importlib.util.find_spec("pythia8mc") is None,
    reason="pythia8mc, which brings densities, comes with the extra `generators`",
)
TOP = standard_model.DEFAULT._replace(mass_top=172.5)


def sampled(pair, densities, n, seed):
    """Points that are even in all channels, and their weights, pb."""
    rng = np.random.default_rng(seed)
    integrand = processes.integrand(pair, densities)
    u, channel = rng.uniform(size=(n, 3)), rng.integers(0, integrand.n_channels, n)
    found = jax.jit(integrand.function)(u, channel)
    prior = np.exp(found.log_prior)[np.arange(n), channel]
    return u, channel, np.asarray(found.value) * prior * integrand.n_channels


@pytest.fixture(scope="module")
def densities():
    return pdf.load(processes.PROTON)


@pytest.fixture(scope="module")
def top(densities, tmp_path_factory):
    """Top pairs at 13 TeV from weighted points to a file, as an experiment would make it."""
    path = tmp_path_factory.mktemp("events") / "top.lhe.gz"
    rng = np.random.default_rng(1)
    with jax.enable_x64(True):
        pair, plan = processes.top_pair(), tree.build("g g > t t~")
        u, channel, weight = sampled(pair, densities, 8000, 0)
        cross_section, error = weight.mean(), weight.std() / len(weight) ** 0.5
        most = unweighting.limit(weight, 0.01)
        index, carried = unweighting.unweight(weight, most, rng)
        weights = assembly.picobarn(carried, cross_section)
        p4, pid = assembly.of_pair(pair, densities, u[index], channel[index], (6, -6), 172.5, rng)
        sizes = jax.jit(lambda p4: tree.flow_squares(plan, p4, TOP))(p4)
        flows = (*plan.flows, ((3, 1), (2, 4)), ((3, 2), (1, 4)))  # of gluons, of quarks
        chosen = np.where(pid[:, 0] == 21, assembly.choose(sizes, rng), 2 + (pid[:, 0] < 0))
        colours = assembly.colour_lines(flows, chosen, 4)
        running = alpha_s.running(0.118, 172.5, loops=2)
        share, scale = variations.shares(p4, (6500.0, 6500.0)), np.full(len(p4), 172.5)
        coupling = jax.jit(lambda q2: alpha_s.alpha_s(running, q2))
        ratios = variations.scales(densities, coupling, 2, share, pid[:, :2], scale)
        known = {"scale": scale, "alpha_s": 0.118, "masses": {6: 172.5}}
        further = weights[:, None] * np.asarray(ratios)
        made = assembly.assembled(p4, pid, weights, colours=colours, variations=further, **known)
        names = variations.groups(pdf_set=247000)
        head = assembly.head(made, cross_section, error, pdf_set=247000, groups=names)
        lhe.write(path, head, made)
    return path, head, made


def showered(path, *settings):
    """What Pythia makes of a file: the weight of each event, its cross-section in pb, its names of
    further weights and their values in the first event, and how many particles there are.
    """
    import pythia8mc

    pythia = pythia8mc.Pythia("", False)
    for line in (
        *("Beams:frameType = 4", f"Beams:LHEF = {path}", "Print:quiet = on"),
        *("HadronLevel:all = off", "PartonLevel:MPI = off", *settings),
    ):
        assert pythia.readString(line)
    assert pythia.init()
    weights, sizes, further, info = [], [], {}, pythia.infoPython()
    while not info.atEndOfFile():
        if not pythia.next():
            assert pythia.infoPython().atEndOfFile()  # and not an event that is refused
            break
        info = pythia.infoPython()
        weights.append(info.weight())
        sizes.append(pythia.event.size())
        if len(weights) == 1:
            further = {k: info.getWeightsDetailedValue(str(1001 + k)) for k in range(7)}
    return np.array(weights), info.sigmaGen() * 1e9, further, np.array(sizes)


@needs_pythia
def test_pythia_showers_top_pairs(top):
    """All events, none refused; its cross-section is ours, overweights and all, and further weights
    come through.
    """
    path, head, made = top
    weights, sigma, further, sizes = showered(path, "6:m0 = 172.5")
    np.testing.assert_allclose(weights, made.weight, rtol=1e-9)
    assert (weights > weights.min() * 1.01).sum() > 3
    assert sigma == pytest.approx(head.processes[0].cross_section, rel=1e-9)
    assert sigma == pytest.approx(566.2, abs=3 * head.processes[0].error)  # of Pythia itself
    np.testing.assert_allclose(list(further.values()), made.variations[0], rtol=1e-6)
    assert sizes.mean() > 20


@needs_pythia
def test_what_the_file_holds(top):
    path, head, made = top
    again, found = lhe_reader.read(path)
    assert again == head
    np.testing.assert_array_equal(found.p4, made.p4)
    assert head.strategy == 4
    assert found.weight.mean() == pytest.approx(head.processes[0].cross_section, rel=1e-12)
    assert found.weight.max() == head.processes[0].max_weight
    p4 = found.p4.reshape(-1, 4, 4)
    np.testing.assert_allclose(p4[:, :2].sum(1), p4[:, 2:].sum(1), atol=1e-8)
    np.testing.assert_allclose(lorentz.mass(p4[:, 2:]), 172.5, rtol=1e-9)
    np.testing.assert_allclose(found.variations[:, 0], found.weight, rtol=1e-12)
    up, down = (found.variations[:, k].mean() / found.weight.mean() for k in (6, 1))
    assert 0.7 < up < 0.85  # lower coupling, at twice the scales
    assert 1.2 < down < 1.35


@needs_pythia
def test_colour_flows_along_with_momentum(top):
    """A top quark that goes along with a gluon has its colour."""
    _, _, made = top
    p4, colours = made.p4.reshape(-1, 4, 4), made.colours.reshape(-1, 4, 2)
    boost = lorentz.rapidity(p4[:, :2].sum(1))
    forward = lorentz.rapidity(p4[:, 2]) - boost
    gluons = made.pid.reshape(-1, 4)[:, 0] == 21
    of_first = colours[:, 2, 0] == colours[:, 0, 0]
    assert (gluons & (forward > 1)).sum() > 20
    assert of_first[gluons & (forward > 1)].mean() > 0.9
    assert of_first[gluons & (forward < -1)].mean() < 0.1


@needs_pythia
def test_lepton_pairs(densities, tmp_path):
    """Quarks in either order, leptons by their angle to the quark."""
    rng = np.random.default_rng(3)
    z = closed_forms.z_boson(91.1876, 2.50419, 0.2312, 0.2315)
    pair = processes.drell_yan([closed_forms.PHOTON, z], (60.0, 120.0))
    u, channel, weight = sampled(pair, densities, 20_000, 1)
    most = unweighting.limit(weight, 0.02)
    index, carried = unweighting.unweight(weight, most, rng)
    p4, pid = assembly.of_pair(pair, densities, u[index], channel[index], (13, -13), 0.0, rng)
    colours = assembly.colour_lines([((2, 1),), ((1, 2),)], pid[:, 0] < 0, 4)
    weights = assembly.picobarn(carried, weight.mean())
    scale = lorentz.mass(p4[:, 2:].sum(1))
    made = assembly.assembled(p4, pid, weights, colours=colours, scale=scale, alpha_s=0.13)
    head = assembly.head(made, weight.mean(), weight.std() / len(weight) ** 0.5)
    lhe.write(tmp_path / "leptons.lhe", head, made)
    _, sigma, _, _ = showered(tmp_path / "leptons.lhe", "PartonLevel:all = off")
    one = head.processes[0]
    assert sigma == pytest.approx(one.cross_section, rel=1e-9)
    assert sigma == pytest.approx(1459.6, abs=3 * one.error + 3 * 2.7)  # of Pythia itself
    assert one.error < 0.02 * sigma
    assert 60 < scale.min() < scale.max() < 120
    u_type, quark_first = np.abs(pid[:, 0]) % 2 == 0, pid[:, 0] > 0
    assert 0.3 < u_type.mean() < 0.6
    assert abs(quark_first.mean() - 0.5) < 4 * 0.5 / len(pid) ** 0.5
    above = scale > 100  # leptons go along with the quark there, antileptons below
    along = lorentz.rapidity(p4[:, 2]) > lorentz.rapidity(p4[:, 3])
    assert np.average((along == quark_first)[above], weights=weights[above]) > 0.55


@needs_pythia
def test_lepton_beams(tmp_path):
    """Electrons and positrons to muons at 10 GeV; more weight on half of the events."""
    rng, n = np.random.default_rng(4), 60
    cos, phi = rng.uniform(-1, 1, n), rng.uniform(0, 2 * np.pi, n)
    sin = np.sqrt(1 - cos**2)
    space = 5 * np.stack([sin * np.cos(phi), sin * np.sin(phi), cos], 1)
    rest = np.stack([np.concatenate([np.full((n, 1), 5.0), p], 1) for p in (space, -space)], 1)
    p4 = assembly.in_beams(rest, np.ones(n), np.ones(n), 10.0)
    np.testing.assert_allclose(p4[:, 2:], rest, atol=1e-12)
    weights = assembly.picobarn(1 + np.arange(n) % 2, 868.5)
    known = {"colours": np.zeros((n, 4, 2), int), "scale": 10.0, "alpha_s": 0.18}
    made = assembly.assembled(p4, np.tile([-11, 11, 13, -13], (n, 1)), weights, **known)
    head = assembly.head(made, 868.5, 0.3, beams=(-11, 11), energies=(5.0, 5.0))
    lhe.write(tmp_path / "muons.lhe", head, made)
    found, sigma, _, _ = showered(tmp_path / "muons.lhe", "PDF:lepton = off")
    np.testing.assert_allclose(found, made.weight, rtol=1e-9)
    assert sigma == pytest.approx(868.5, rel=1e-9)


@pytest.mark.parametrize(
    ("process", "name"),
    [
        ("g g > g g", "lhe/pylhe-testfile-madgraph5-3.5.8-pp_to_jj.lhe.gz"),
        ("g g > t t~", "matrix_elements/lhe_events/gg_tt_events.lhe.gz"),
    ],
)
def test_flows_as_madgraph_draws_them(hepjax_data, process, name):
    """How often each flow is chosen, and how often the largest, against what amplitudes say."""
    plan = tree.build(process)
    found = next(lhe_reader.chunks(hepjax_data / name, 2000))
    own = (found.pid.reshape(-1, 4) == [*plan.process.incoming, *plan.process.outgoing]).all(1)
    p4 = found.p4.reshape(-1, 4, 4)[own]
    size = np.asarray(jax.jit(lambda p4: tree.flow_squares(plan, p4))(p4))
    share = size / size.sum(1, keepdims=True)

    def joined(colours):
        """Which ends, of leg and kind, have a line in common."""
        ends = [np.argwhere(colours == line).tolist() for line in np.unique(colours)]
        return sorted(map(sorted, ends))

    n = len(plan.flows)
    ours = [joined(x) for x in assembly.colour_lines(plan.flows, np.arange(n), 4)]
    theirs = np.array([ours.index(joined(x)) for x in found.colours.reshape(-1, 4, 2)[own]])
    chosen = theirs[:, None] == np.arange(n)
    variance = (share * (1 - share)).sum(0)
    assert ((chosen.sum(0) - share.sum(0)) ** 2 / variance).sum() < 20  # of n - 1
    largest = share.argmax(1)  # which is theirs as often as it should be
    expected, spread = share.max(1).sum(), (share.max(1) * (1 - share.max(1))).sum() ** 0.5
    assert (theirs == largest).sum() == pytest.approx(expected, abs=4 * spread)
    assert share.max(1).mean() > 1.3 / n


@pytest.mark.parametrize(
    ("process", "name"), [("e+ e- > mu+ mu-", "ee_mumu"), ("g g > t t~", "gg_tt")]
)
def test_helicities_as_madgraph_draws_them(hepjax_data, process, name):
    """Events of each of sixteen, beside those of as many drawn here for the same momenta."""
    path = hepjax_data / "matrix_elements" / "lhe_events" / f"{name}_events.lhe.gz"
    found, plan = next(lhe_reader.chunks(path, 2000)), tree.build(process)
    assert found.pid[:4].tolist() == [*plan.process.incoming, *plan.process.outgoing]
    p4 = found.p4.reshape(-1, 4, 4)
    flow, helicity = assembly.states(plan, p4, np.random.default_rng(0))
    assert set(np.unique(helicity)) == {-1, 1}
    assert set(np.unique(flow)) == set(range(len(plan.flows)))
    ours, theirs = (
        np.bincount(((x + 1) // 2).astype(int) @ [8, 4, 2, 1], minlength=16)
        for x in (helicity, found.spin.reshape(-1, 4))
    )
    some = ours + theirs > 0
    assert theirs.max() > 400
    assert ((ours - theirs)[some] ** 2 / (ours + theirs)[some]).sum() < some.sum() + 20


def test_flows_with_their_helicities(two_to):
    """At one point: how often each pair of both, beside |M|^2 of helicities and squares by hand."""
    plan = tree.build("g g > t t~")
    p4 = np.repeat(two_to((0, 0), (173.0, 173.0), 600.0, n=1), 2000, 0)
    flow, helicity = assembly.states(plan, p4, np.random.default_rng(1))
    parts = np.asarray(jax.jit(lambda p4: tree.amplitudes(plan, p4))(p4[:1]))[0].T
    assert parts.shape == (2, 16)
    weights = colour.matrix(plan.flows, plan.gluons)
    whole = np.array([(x.conj() @ weights @ x).real for x in parts.T])
    squares = np.abs(parts) ** 2
    place = ((tree.helicity_table(plan) + 1) // 2) @ [8, 4, 2, 1]
    expected, count = np.zeros((2, 2, 16))
    expected[:, place] = 2000 * whole / whole.sum() * squares / squares.sum(0)
    np.add.at(count, (flow, ((helicity + 1) // 2) @ [8, 4, 2, 1]), 1)
    some = expected > 1e-6
    assert count[~some].sum() == 0
    assert (
        (count - expected)[some] ** 2 / expected[some]
    ).sum() < some.sum() + 4 * some.sum() ** 0.5
    assert some.sum() > 20


def test_options_are_drawn_as_often_as_they_should(tmp_path):
    rng = np.random.default_rng(0)
    size = np.tile([0.0, 3.0, 0.0, 1.0, 0.0], (8000, 1)) * rng.exponential(size=(8000, 1))
    count = np.bincount(assembly.choose(size, rng), minlength=5)
    assert count[[0, 2, 4]].sum() == 0
    assert count[3] == pytest.approx(2000, abs=4 * 39)
    for bad in ([0.0, 0.0], [1.0, -1.0], [np.nan, 1.0]):
        with pytest.raises(ValueError, match="in event 1, expected some above 0 and none below"):
            assembly.choose([[1.0, 1.0], bad], rng)


def test_a_little_of_an_integrand_may_be_negative():
    parts = np.array([[1.0, -5e-4], [0.5, 2.0]])
    assert (assembly.without_negative(parts) == [[1.0, 0.0], [0.5, 2.0]]).all()
    with pytest.raises(ValueError, match=r"0\.12 of them is negative, expected up to 0\.001"):
        assembly.without_negative([[1.0, -0.5], [0.5, 2.0]])


def test_lines_of_incoming_and_outgoing_legs():
    """A quark has a colour, an antiquark an anticolour, a gluon both, on either side."""
    plan = tree.build("u u~ > u u~ g")
    lines = assembly.colour_lines(plan.flows, np.arange(len(plan.flows)), 5)
    pid = np.tile([2, -2, 2, -2, 21], (len(plan.flows), 1))
    assert ((lines > 0) == [[1, 0], [0, 1], [1, 0], [0, 1], [1, 1]]).all()
    assembly._check_colours(pid, lines)
    assert len({x.tobytes() for x in lines}) == len(plan.flows)


def test_picobarn_restores_the_cross_section():
    rng = np.random.default_rng(0)
    weight = rng.lognormal(0, 1, 5000) * rng.choice([1, 1, -1], 5000)
    _, carried = unweighting.unweight(weight, unweighting.limit(weight, 0.05), rng)
    found = assembly.picobarn(carried, weight.mean())
    assert found.mean() == pytest.approx(weight.mean(), rel=1e-12)
    np.testing.assert_allclose(found / carried, found[0] / carried[0])
    with pytest.raises(ValueError, match="carried: 2 weights with mean 0"):
        assembly.picobarn([1.0, -1.0], 3.0)


@pytest.fixture
def good(two_to):
    """Momenta, codes and colours of u u~ > g g."""
    p4 = two_to((0, 0), (0, 0), 500.0, n=3)
    axis = p4[:, 0, 1:] / p4[:, :1, 0]
    way = np.cross(axis, axis[:, [1, 2, 0]])
    way /= np.linalg.norm(way, axis=1, keepdims=True)
    frame = np.stack([way, np.cross(axis, way), axis], 1)  # the beams along z
    p4[..., 1:] = np.einsum("eij,elj->eli", frame, p4[..., 1:])
    p4[:, :2, 1:3] = 0
    colours = np.tile([[501, 0], [0, 502], [501, 503], [503, 502]], (3, 1, 1))
    return p4, np.tile([2, -2, 21, 21], (3, 1)), colours


def test_processes_share_the_cross_section(good):
    p4, pid, colours = good
    known = {"colours": colours, "scale": 100.0, "alpha_s": 0.118}
    made = assembly.assembled(p4, pid, np.array([1.0, 2.0, -1.0]), process=[1, 1, 2], **known)
    head = assembly.head(made, 4.0, 0.4)
    assert head.strategy == -4
    assert [(p.number, p.cross_section) for p in head.processes] == [(1, 6.0), (2, -2.0)]
    assert sum(p.error**2 for p in head.processes) == pytest.approx(0.4**2)
    assert [p.max_weight for p in head.processes] == [2.0, 1.0]
    assert made.mothers.reshape(3, 4, 2)[1].tolist() == [[0, 0], [0, 0], [1, 2], [1, 2]]
    assert made.status.tolist() == [-1, -1, 1, 1] * 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p, i, c: (p + [[[1e-3, 0, 0, 0]]] * (np.arange(4) > 2)[:, None], i, c), "goes out"),
        (lambda p, i, c: (p * [1.001, 1, 1, 1], i, c), "squares differ from those of masses"),
        (lambda p, i, c: (p[..., [0, 3, 1, 2]], i, c), "incoming ones are away from z"),
        (lambda p, i, c: (p[:, [1, 0, 2, 3]], i, c), "none is along z, or against it"),
        (
            lambda p, i, c: (p, i, c[:, [1, 0, 2, 3]]),
            r"colours: .* of \[2, -2, 21, 21\] in event 0",
        ),
        (lambda p, i, c: (p, i, np.where(c == 503, 501, c)), "colours: "),
        (lambda p, i, c: (p, i, c * 0 + [[501, 0], [0, 501], [502] * 2, [503] * 2]), "colours: "),
        (lambda p, i, c: (p, i, np.where(np.arange(8).reshape(4, 2) == 4, 504, c)), "colours: "),
        (lambda p, i, c: (p, i[:, [0, 1, 2, 2]] * [1, 1, 1, 0] + [0, 0, 0, 22], c), "colours: "),
        (lambda p, i, c: (p[:, :3], i, c), r"momenta: \(3, 3, 4\), expected \(3, 4, 4\)"),
        (lambda p, i, c: (p, i, c[..., 0]), r"colours: \(3, 4\), expected \(3, 4, 2\)"),
    ],
)
def test_bad_events_are_named(good, change, message):
    p4, pid, colours = change(*good)
    with pytest.raises(ValueError, match=message):
        assembly.assembled(p4, pid, 1.0, colours=colours, scale=100.0, alpha_s=0.118)


@pytest.mark.parametrize("text", ["g g > t t~ g", "u d > u d g", "u~ g > u~ e- e+", "g g > g g"])
def test_lines_of_colour(text):
    """Each colour comes in and goes out, and each particle has what it must."""
    plan = tree.build(text)
    tags = assembly.colour_lines(plan.flows, range(len(plan.flows)), len(plan.fields))
    legs = [*plan.process.incoming, *plan.process.outgoing]
    n_in = len(plan.process.incoming)
    for flow in tags:
        for pid, (line, other) in zip(legs, flow):
            is_quark = abs(pid) < 10
            assert (line > 0) == (pid == 21 or (is_quark and pid > 0))
            assert (other > 0) == (pid == 21 or (is_quark and pid < 0))
        starts = [*flow[:n_in, 0], *flow[n_in:, 1]]
        ends = [*flow[:n_in, 1], *flow[n_in:, 0]]
        assert sorted(starts) == sorted(ends)
        assert (flow[:, 0] != flow[:, 1])[np.array(legs) == 21].all()
    assert len({tuple(flow.ravel()) for flow in tags}) == len(plan.flows)
