"""Les Houches files that are written: what pylhe reads in them, exactness, chunks, bad events."""

import gzip
import importlib.util

import numpy as np
import pytest

from hepjax.io import lhe, lhe_reader

needs_pylhe = pytest.mark.skipif(
    importlib.util.find_spec("pylhe") is None, reason="pylhe comes with the extra `generators`"
)

GROUPS = (
    lhe.Group(
        {"name": "scales", "combine": "envelope"},
        (
            lhe.Weight("1", {"MUR": "2.0", "MUF": "0.5"}, "both up & down"),
            lhe.Weight("mu<r>", {"MUR": "2.0"}),
        ),
    ),
    lhe.Group({}, (lhe.Weight("alone", {}, "100%"),)),
)
HEAD = lhe.Head(
    (2212, -2212),
    (6500.0, 980.25),
    (lhe.Process(7, 12.5, 0.1, 3.0), lhe.Process(81, 1 / 3, 1e-3)),
    -4,
    (0, 1),
    (247000, 10042),
    GROUPS,
    (lhe.Generator("one", "1.0", "cite <this>"), lhe.Generator("two")),
    "<card>\nseed = 7\n</card>",
)


def made(n=40, seed=0):
    """Events of 3 to 7 particles, random but for their shapes."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(3, 8, n)
    total = int(counts.sum())
    return lhe.Events(
        offsets=np.concatenate([[0], np.cumsum(counts)]),
        process=rng.choice([7, 81], n),
        weight=rng.normal(size=n),
        scale=rng.exponential(100, n),
        alpha_em=np.full(n, 1 / 132.5),
        alpha_s=rng.uniform(0.1, 0.2, n),
        pid=rng.choice([21, -1, 2, 6, -13, 1000022], total),
        status=rng.choice([-1, 1, 2], total),
        mothers=rng.integers(0, 3, (total, 2)),
        colours=rng.choice([0, 501, 502], (total, 2)),
        p4=rng.normal(0, 100, (total, 4)) * 10.0 ** rng.integers(-12, 4, (total, 1)),
        mass=rng.exponential(1, total),
        lifetime=rng.choice([0.0, 1.25e-13], total),
        spin=rng.choice([-1.0, 1.0, 9.0], total),
        variations=rng.normal(size=(n, 3)),
    )


def same(one, other):
    for name, a, b in zip(lhe.Events._fields, one, other):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b), err_msg=name)


@pytest.mark.parametrize("name", ["events.lhe", "events.lhe.gz"])
def test_what_is_written_is_read_exactly(tmp_path, name):
    events = made()
    lhe.write(tmp_path / name, HEAD, events)
    head, found = lhe_reader.read(tmp_path / name)
    assert head == HEAD
    same(found, events)
    assert [path.name for path in tmp_path.iterdir()] == [name]  # and nothing beside


def test_chunks_join(tmp_path):
    """As many events written in chunks are the same file; read in chunks they are the same."""
    parts = [made(5, seed) for seed in range(4)]
    with lhe.writer(tmp_path / "parts.lhe.gz", HEAD) as append:
        for part in parts:
            append(part)
    whole = lhe.concatenate(parts)
    lhe.write(tmp_path / "whole.lhe.gz", HEAD, whole)
    assert (tmp_path / "parts.lhe.gz").read_bytes() == (tmp_path / "whole.lhe.gz").read_bytes()
    found = list(lhe_reader.chunks(tmp_path / "parts.lhe.gz", 6))
    assert [len(part.weight) for part in found] == [6, 6, 6, 2]
    same(lhe.concatenate(found), whole)


def test_texts_of_events_are_kept(tmp_path):
    """Attributes, comments, and elements that are none of ours, of some events only."""
    events = made(3)._replace(
        attributes=["npLO='2'", "", "trials='7'"],
        rest=["", "#pdf 2 -2 0.1", "<mgrwt>\n1\n</mgrwt>"],
    )
    other = made(2, 1)
    lhe.write(tmp_path / "a.lhe", HEAD, [events, other])
    found = lhe_reader.read(tmp_path / "a.lhe")[1]
    assert found.attributes == ["npLO='2'", "", "trials='7'", "", ""]
    assert found.rest == [*events.rest, "", ""]
    np.testing.assert_array_equal(found.variations[:3], events.variations)


def test_variations_that_events_lack(tmp_path):
    events = made(4)
    events.variations[1, 0] = np.nan
    events.variations[2] = np.nan
    lhe.write(tmp_path / "a.lhe", HEAD, events)
    assert (tmp_path / "a.lhe").read_text().count("<wgt ") == 8
    same(lhe_reader.read(tmp_path / "a.lhe")[1], events)


def test_fewer_digits(tmp_path):
    events = made(500)
    for digits in (17, 9):
        lhe.write(tmp_path / f"{digits}.lhe", HEAD, events, digits=digits)
    found = lhe_reader.read(tmp_path / "9.lhe")[1]
    np.testing.assert_allclose(found.p4, events.p4, rtol=1e-8)
    assert (found.p4 != events.p4).any()
    sizes = [(tmp_path / f"{digits}.lhe").stat().st_size for digits in (9, 17)]
    assert sizes[0] < 0.8 * sizes[1]


@needs_pylhe
@pytest.mark.parametrize("name", ["events.lhe", "events.lhe.gz"])
def test_pylhe_reads_it(tmp_path, name):
    """Every number that was written."""
    import pylhe

    events = made()
    lhe.write(tmp_path / name, HEAD, events)
    found = pylhe.LHEFile.fromfile(str(tmp_path / name))
    info = found.init.initInfo
    assert (info.beamA, info.beamB, info.energyA, info.energyB) == (*HEAD.beams, *HEAD.energies)
    assert (info.PDFgroupA, info.PDFsetB, info.weightingStrategy) == (0, 10042, -4)
    rows = [(p.procId, p.xSection, p.error, p.unitWeight) for p in found.init.procInfo]
    assert rows == list(HEAD.processes)
    assert [g.name for g in found.init.generators] == ["one", "two"]
    weights = list(found.header.initrwgt.iter_weights())
    assert tuple(w.id for w in weights) == lhe.names(HEAD)
    assert weights[0].attributes["MUF"] == "0.5"
    assert weights[0].name == "both up & down"
    for k, event in enumerate(found.events):
        one = event.eventinfo
        for ours, theirs in (("process", one.pid), ("weight", one.weight), ("scale", one.scale)):
            assert getattr(events, ours)[k] == theirs
        assert (events.alpha_em[k], events.alpha_s[k]) == (one.aqed, one.aqcd)
        assert list(event.weights) == list(lhe.names(HEAD))
        np.testing.assert_array_equal(list(event.weights.values()), events.variations[k])
        of = slice(*events.offsets[k : k + 2])
        numbers = [[p.e, p.px, p.py, p.pz, p.m, p.lifetime, p.spin] for p in event.particles]
        both = np.concatenate([events.p4, np.stack(events[11:14], 1)], 1)[of]
        np.testing.assert_array_equal(numbers, both)
        integers = [
            [p.id, p.status, p.mother1, p.mother2, p.color1, p.color2] for p in event.particles
        ]
        expected = [events.pid[:, None], events.status[:, None], events.mothers, events.colours]
        np.testing.assert_array_equal(integers, np.concatenate(expected, 1)[of])
    assert k == len(events.weight) - 1


def test_a_file_is_whole_or_not_there(tmp_path):
    """What fails in the middle leaves the old file."""
    path = tmp_path / "a.lhe.gz"
    lhe.write(path, HEAD, made(2))
    before = path.read_bytes()

    def breaks():
        yield made(2)
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        lhe.write(path, HEAD, breaks())
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1
    assert gzip.decompress(before).endswith(b"</LesHouchesEvents>\n")


@pytest.mark.parametrize(
    ("field", "change", "message"),
    [
        ("weight", lambda x: np.where(np.arange(4) == 2, np.nan, x), r"weight: nan in event 2, "),
        ("mass", lambda x: x[:-1], r"mass: \d+ values, expected \d+"),
        ("p4", lambda x: np.where(np.arange(len(x))[:, None] < 1, np.inf, x), r"p4: .* in event 0"),
        ("process", lambda x: x + 1, r"process: \[.*\], expected those of the head"),
        ("variations", lambda x: x[:, :2], r"variations: \(2,\) an event, expected \(3,\)"),
        ("offsets", lambda x: x[:-1], r"offsets: 4 for 4 events, expected 5 that rise"),
        ("offsets", lambda x: x[::-1], r"offsets: 5 for 4 events, expected 5 that rise"),
    ],
)
def test_bad_events_are_named(tmp_path, field, change, message):
    events = made(4)
    bad = events._replace(**{field: change(getattr(events, field))})
    with pytest.raises(ValueError, match=message):
        lhe.write(tmp_path / "a.lhe", HEAD, bad)
    assert not list(tmp_path.iterdir())


def test_bad_parts_are_named():
    with pytest.raises(ValueError, match="parts: none"):
        lhe.concatenate([])
    other = made(2)._replace(variations=np.zeros((2, 1)))
    with pytest.raises(ValueError, match=r"variations: \[1, 3\] a part, expected as many in all"):
        lhe.concatenate([made(2), other])
