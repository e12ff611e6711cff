"""Les Houches files that are read: those of other generators as pylhe does, and bad ones."""

import gzip
import importlib.util
import itertools

import numpy as np
import pytest

from hepjax.io import lhe, lhe_reader

needs_pylhe = pytest.mark.skipif(
    importlib.util.find_spec("pylhe") is None, reason="pylhe comes with the extra `generators`"
)
FOLDER, EVENTS = "lhe/pylhe-testfile-", "matrix_elements/lhe_events/"
FILES = (
    FOLDER + "madgraph-2.2.1-Z-ckkwl.lhe.gz",
    FOLDER + "madgraph-2.2.1-Z-mlm.lhe.gz",
    FOLDER + "madgraph5-3.5.8-pp_to_jj.lhe.gz",
    FOLDER + "powheg-box-v2-Z.lhe",
    FOLDER + "powheg-box-v2-Zj.lhe",
    FOLDER + "pythia-6.413-ttbar.lhe",
    FOLDER + "pythia-8.3.14-weakbosons.lhe",
    FOLDER + "sherpa-3.0.1-eejjj.lhe",
    EVENTS + "ee_mumu_events.lhe.gz",
    EVENTS + "gg_ttg_events.lhe.gz",
)
N = 300


@pytest.fixture(scope="module", params=FILES, ids=lambda name: name.split("/")[1])
def known(request, hepjax_data):
    """A file of another generator: its path, head and first events."""
    path = hepjax_data / request.param
    return path, lhe_reader.read_head(path), next(lhe_reader.chunks(path, N))


@needs_pylhe
def test_as_pylhe_does(known):
    import pylhe

    path, head, events = known
    theirs = pylhe.LHEFile.fromfile(str(path))
    info = theirs.init.initInfo
    assert head.beams == (info.beamA, info.beamB)
    assert head.energies == (info.energyA, info.energyB)
    assert head.pdf_groups == (info.PDFgroupA, info.PDFgroupB)
    assert head.pdf_sets == (info.PDFsetA, info.PDFsetB)
    assert head.strategy == info.weightingStrategy
    assert [(p.procId, p.xSection, p.error, p.unitWeight) for p in theirs.init.procInfo] == list(
        head.processes
    )
    entries = theirs.header.initrwgt.entries if theirs.header else []
    assert [g.attributes for g in entries] == [g.attributes for g in head.groups]
    assert [w.id for g in entries for w in g.weights] == list(lhe.names(head))
    found = list(itertools.islice(theirs.events, N))
    assert len(found) == len(events.weight)
    for name, theirs in (("process", "pid"), ("weight", "weight"), ("scale", "scale")):
        expected = [getattr(event.eventinfo, theirs) for event in found]
        np.testing.assert_array_equal(getattr(events, name), expected, err_msg=name)
    np.testing.assert_array_equal(events.alpha_s, [event.eventinfo.aqcd for event in found])
    particles = [p for event in found for p in event.particles]
    np.testing.assert_array_equal(np.diff(events.offsets), [len(e.particles) for e in found])
    np.testing.assert_array_equal(events.pid, [p.id for p in particles])
    np.testing.assert_array_equal(events.status, [p.status for p in particles])
    np.testing.assert_array_equal(events.mothers, [[p.mother1, p.mother2] for p in particles])
    np.testing.assert_array_equal(events.colours, [[p.color1, p.color2] for p in particles])
    np.testing.assert_array_equal(events.p4, [[p.e, p.px, p.py, p.pz] for p in particles])
    np.testing.assert_array_equal(events.mass, [p.m for p in particles])
    np.testing.assert_array_equal(events.spin, [p.spin for p in particles])
    np.testing.assert_array_equal(events.lifetime, [p.lifetime for p in particles])
    weights = [list(event.weights.values()) for event in found]
    np.testing.assert_array_equal(events.variations, weights)


def test_written_and_read_again(known, tmp_path):
    """All that is in them stays, the text behind the particles too."""
    _, head, events = known
    lhe.write(tmp_path / "again.lhe", head, events)
    again, found = lhe_reader.read(tmp_path / "again.lhe")
    assert again == head
    for name, a, b in zip(lhe.Events._fields, events, found):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b), err_msg=name)


@needs_pylhe
def test_pylhe_reads_what_is_written_again(known, tmp_path):
    """Headers of other generators are no hindrance."""
    import pylhe

    path, head, events = known
    lhe.write(tmp_path / "again.lhe.gz", head, events)
    both = [pylhe.LHEFile.fromfile(str(x)) for x in (path, tmp_path / "again.lhe.gz")]
    assert both[0].init.procInfo == both[1].init.procInfo
    first, second = (list(itertools.islice(x.events, N)) for x in both)
    for one, other in zip(first, second, strict=True):
        assert one.eventinfo == other.eventinfo
        assert one.particles == other.particles
        assert one.weights == other.weights
        assert (one.optional, one.attributes) == (other.optional, other.attributes)


def test_momenta_add_up(known):
    """To the digits that are written: incoming ones to outgoing ones."""
    _, _, events = known
    sign = np.select([events.status == -1, events.status == 1], [1.0, -1.0], 0.0)
    excess = np.add.reduceat(sign[:, None] * events.p4, events.offsets[:-1])
    scale = np.add.reduceat(np.abs(events.p4[:, 0]), events.offsets[:-1])
    assert (np.abs(excess) < 2e-6 * scale[:, None]).all()


INIT = "2212 2212 6500 6500 0 0 0 0 3 1\n1.0 0.1 1.0 1\n"
PARTICLES = (
    "21 -1 0 0 501 502 0 0 10 10 0 0 9\n",
    "21 -1 0 0 502 501 0 0 -10 10 0 0 9\n",
    "25 1 1 2 0 0 0 0 0 20 20.0D+00 0 9\n",
)
EVENT = "3 1 1.0 91.2 0.0078 0.118\n"


def text(
    init=INIT, event=EVENT, particles=PARTICLES, more="", header="", end="</LesHouchesEvents>"
):
    body = f"<event>\n{event}{''.join(particles)}{more}</event>\n"
    return (
        f'<LesHouchesEvents version="3.0">\n<header>\n{header}</header>\n<init>\n{init}</init>\n'
        f"{body}{body}{end}\n"
    )


@pytest.fixture
def write(tmp_path):
    def write(**options):
        path = tmp_path / "events.lhe"
        path.write_text(text(**options))
        return path

    return write


def test_numbers_as_fortran_writes_them(write):
    head, events = lhe_reader.read(write())
    assert head.processes == (lhe.Process(1, 1.0, 0.1, 1.0),)
    assert events.mass.tolist() == [0, 0, 20] * 2
    assert events.p4[2].tolist() == [20, 0, 0, 0]
    assert events.variations.shape == (2, 0)


WEIGHTS = "<initrwgt>\n<weight id='a'> one </weight><weight id=\"b\">two</weight>\n</initrwgt>\n"


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("<rwgt>\n<wgt id='a'> 1.5 </wgt>\n<wgt id=\"b\">-2</wgt>\n</rwgt>\n", [1.5, -2]),
        ("<rwgt>\n<wgt id='b'>-2</wgt>\n</rwgt>\n#tail\n", [np.nan, -2]),
        ("<weights> 1.5 -2.0 </weights>\n", [1.5, -2]),
        ("", [np.nan, np.nan]),
    ],
)
def test_further_weights(write, more, expected):
    head, events = lhe_reader.read(write(header=WEIGHTS, more=more))
    assert lhe.names(head) == ("a", "b")
    assert head.groups[0].weights[0].text == "one"
    np.testing.assert_array_equal(events.variations, [expected] * 2)
    assert list(events.rest) == (["#tail"] * 2 if "tail" in more else [])


def test_blocks_cut_events_anywhere(write, monkeypatch):
    path = write(header=WEIGHTS, more="<weights> 1.5 -2.0 </weights>\n")
    whole = lhe_reader.read(path)[1]
    for size in (1, 7, 64):
        monkeypatch.setattr(lhe_reader, "BLOCK", size)
        found = lhe_reader.read(path)[1]
        for a, b in zip(found, whole):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"particles": (PARTICLES[0], "21 -1 0 0\n", PARTICLES[2])}, r"line 11: expected 3 part"),
        ({"particles": PARTICLES[:2]}, r"line 12: expected 3 particles of 13 numbers each"),
        ({"particles": ("21 x" + PARTICLES[0][5:], *PARTICLES[1:])}, r"line 10: could not convert"),
        ({"event": "3 1 1.0\n"}, r"line 9: \['3', '1', '1.0'\], expected 6 numbers"),
        ({"event": "3 1 one 2 3 4\n"}, r"line 9: could not convert string to float: 'ONE'"),
        ({"init": "2212 2212 6500\n"}, r"<init>: list index out of range"),
        ({"init": INIT.replace("3 1\n", "3 2\n")}, r"<init>: 1 processes, expected 2"),
        ({"end": ""}, r"line 19: the file ends within or between events"),
        ({"end": "<event>\n"}, r"line 19: the file ends within or between events"),
        (
            {"more": "<rwgt><wgt id='c'>1</wgt></rwgt>\n"},
            r"line 13: weights \['c'\] that <initrwgt>",
        ),
    ],
)
def test_bad_files_are_named_with_the_line(write, options, message):
    with pytest.raises(ValueError, match=message) as caught:
        lhe_reader.read(write(**options))
    assert "events.lhe" in str(caught.value)


def test_no_such_file_no_such_format_and_one_cut_off(tmp_path, write):
    with pytest.raises(ValueError, match=r"no_file\.lhe"):
        lhe_reader.read(tmp_path / "no_file.lhe")
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(ValueError, match="no <init> in 7 characters"):
        lhe_reader.read_head(tmp_path / "notes.txt")
    whole = gzip.compress(write().read_bytes())
    (tmp_path / "cut.lhe.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"cut\.lhe\.gz"):
        lhe_reader.read(tmp_path / "cut.lhe.gz")
