"""Events of TrackML's kind made by ACTS, with the tracks of its combinatorial Kalman filter.

`events` makes an environment of its own where it is missing (pyacts 48.1.0, MPL-2.0; pythia8mc
8.317.2, GPL-2), and runs this file with its Python: Pythia draws a top pair and --pile-up soft
collisions at 14 TeV, Fatras follows the particles through the generic detector in 2 T, hits of the
pixels are smeared, and ACTS finds seeds and tracks of three measurements or more and resolves
ambiguities. All stands as ACTS' CSV in one folder, which `hepjax.io.acts` reads.
"""

import csv
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import _acts_simulation
import _peers

PEERS = ["pyacts==48.1.0", "pythia8mc==8.317.2", "numpy"]
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
    _acts_simulation.simulate(out, n_events, int(seed))


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


if __name__ == "__main__":
    main()
