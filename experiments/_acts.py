"""Events of TrackML's kind made by ACTS, with the tracks of its combinatorial Kalman filter.

`events` makes an environment of its own where it is missing (pyacts 48.1.0, MPL-2.0; pythia8mc
8.317.2, GPL-2), and runs this file with its Python: Pythia draws a top pair and --pile-up soft
collisions at 14 TeV, Fatras follows the particles through the generic detector in 2 T, hits of the
pixels are smeared, and ACTS finds seeds and tracks of three measurements or more and resolves
ambiguities. All stands as ACTS' CSV in one folder, which `hepjax.io.acts` reads.
"""

import csv
import json
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import _peers

PEERS = ["pyacts==48.1.0", "pythia8mc==8.317.2", "numpy"]
PIXELS = (7, 8, 9)
RESOLUTION = 0.0144, 0.0162
"""mm, in both coordinates of a pixel module: 50 and 56 um over the root of 12."""

BEAM_SPOT = 0.0125, 0.0125, 55.5
MIN_PT, MAX_ETA = 0.1, 4.2
"""GeV; of the particles that are followed."""

COLUMNS = ("particle_id_pv", "particle_id_sv", "particle_id_part", "particle_id_gen")
COLUMNS += ("particle_id_subpart", "particle_type", "process", "vx", "vy", "vz", "vt")
COLUMNS += ("px", "py", "pz", "m", "q")


def events(cache: Path, out: Path, n_events: int, pile_up: float, seed: int) -> Path:
    """Make a folder of events, unless it is complete. cache: folder of the environment."""
    if not (out / "complete").exists():
        python = _peers.environment(cache, PEERS)
        command = [python, __file__, out, str(n_events), str(pile_up), str(seed)]
        subprocess.run(command, check=True)
        (out / "complete").touch()
    return out


def main() -> None:
    """Make events: folder, number, pile-up, seed."""
    out, n_events, pile_up, seed = Path(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:5]
    out.mkdir(parents=True, exist_ok=True)
    generate(out, n_events, float(pile_up), int(seed))
    simulate(out, n_events, int(seed))


def generate(out: Path, n_events: int, pile_up: float, seed: int) -> None:
    """Write the charged particles of collisions, a file an event."""
    import numpy as np
    import pythia8mc  # type: ignore[import-not-found]

    rng = np.random.default_rng(seed)

    def machine(*lines: str) -> object:
        pythia = pythia8mc.Pythia("", False)
        common = ("Beams:eCM = 14000", "Random:setSeed = on", f"Random:seed = {seed + 1}")
        for line in (*common, "Print:quiet = on", "ParticleDecays:limitTau0 = on", *lines):
            pythia.readString(line)
        pythia.init()
        return pythia

    soft, hard = machine("SoftQCD:inelastic = on"), machine("Top:gg2ttbar = on")
    for k in range(n_events):
        with open(out / f"event{k:09d}-generated.csv", "w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(COLUMNS)
            for vertex in range(1 + rng.poisson(pile_up)):
                pythia = soft if vertex else hard
                while not pythia.next():  # type: ignore[attr-defined]
                    pass
                at = rng.normal(size=3) * BEAM_SPOT
                number = 0
                for p in pythia.event:  # type: ignore[attr-defined]
                    if p.isFinal() and p.isCharged() and p.pT() > MIN_PT and abs(p.eta()) < MAX_ETA:
                        number += 1
                        place = [at[0] + p.xProd(), at[1] + p.yProd(), at[2] + p.zProd(), p.tProd()]
                        momentum = [p.px(), p.py(), p.pz(), p.m(), p.charge()]
                        ids = [vertex + 1, 0, number, 0, 0, p.id(), 0]
                        writer.writerow([*ids, *place, *momentum])


def configurations(out: Path) -> tuple[Path, Path]:
    """Write how pixels are smeared, and which volumes make space points."""
    smeared = [
        {"index": k, "mean": 0.0, "stddev": x, "type": "Gauss"} for k, x in enumerate(RESOLUTION)
    ]
    header = {"format-version": 0, "value-identifier": "digitization-configuration"}
    entries = [{"volume": volume, "value": {"smearing": smeared}} for volume in PIXELS]
    digitisation, selection = out / "digitisation.json", out / "selection.json"
    digitisation.write_text(json.dumps({"acts-geometry-hierarchy-map": header, "entries": entries}))
    selection.write_text(json.dumps([{"volume": volume} for volume in PIXELS]))
    return digitisation, selection


def simulate(out: Path, n_events: int, seed: int) -> None:
    """Follow the particles, smear the hits, and find tracks."""
    import acts  # type: ignore[import-not-found]
    from acts import UnitConstants as u
    from acts.examples import reconstruction as found
    from acts.examples import simulation

    digitisation, selection = configurations(out)
    detector = acts.examples.GenericDetector()
    geometry = detector.trackingGeometry()
    field = acts.ConstantBField(acts.Vector3(0, 0, 2 * u.T))
    rnd = acts.examples.RandomNumbers(seed=seed)
    s = acts.examples.Sequencer(events=n_events, numThreads=1, logLevel=acts.logging.WARNING)
    s.addReader(
        acts.examples.CsvParticleReader(
            level=acts.logging.WARNING,
            inputDir=str(out),
            inputStem="generated",
            outputParticles="particles_generated",
        )
    )
    simulation.addFatras(
        s, geometry, field, rnd, inputParticles="particles_generated", outputDirCsv=out
    )
    simulation.addDigitization(s, geometry, field, digitisation, outputDirCsv=out, rnd=rnd)
    s.addWhiteboardAlias("particles_selected", "particles_simulated")
    found.addSeeding(
        s,
        geometry,
        field,
        geoSelectionConfigFile=selection,
        seedFinderConfigArg=found.SeedFinderConfigArg(
            r=(None, 200 * u.mm),
            deltaR=(1 * u.mm, 300 * u.mm),
            collisionRegion=(-250 * u.mm, 250 * u.mm),
            z=(-2000 * u.mm, 2000 * u.mm),
            maxSeedsPerSpM=1,
            sigmaScattering=5,
            radLengthPerSeed=0.1,
            minPt=500 * u.MeV,
            impactMax=3 * u.mm,
            cotThetaMax=27.3,
        ),
        seedFinderOptionsArg=found.SeedFinderOptionsArg(bFieldInZ=2 * u.T),
    )
    s.addWriter(
        acts.examples.CsvSpacePointWriter(
            level=acts.logging.WARNING, inputSpacePoints="spacepoints", outputDir=str(out)
        )
    )
    found.addCKFTracks(
        s,
        geometry,
        field,
        found.TrackSelectorConfig(pt=(0.5 * u.GeV, None), nMeasurementsMin=3),
        found.CkfConfig(),
        writeTrackSummary=False,
        writePerformance=False,
    )
    found.addAmbiguityResolution(
        s,
        found.AmbiguityResolutionConfig(maximumSharedHits=1, nMeasurementsMin=3),
        writeTrackSummary=False,
        writePerformance=False,
    )
    s.addWriter(
        acts.examples.CsvTrackWriter(
            level=acts.logging.WARNING,
            inputTracks="ambi_tracks",
            inputMeasurementParticlesMap="measurement_particles_map",
            outputDir=str(out),
            fileName="tracks.csv",
            nMeasurementsMin=3,
            ptMin=0.5 * u.GeV,
        )
    )
    s.run()


if __name__ == "__main__":
    main()
