"""weaver's side of jets_vs_weaver.py, run by the Python of its own environment.

Reads the batches of a folder, writes weights.npz with the state dict it starts from, says "ready",
and then answers each line "what index" on its standard input with "CPU-seconds value": forward and
train use the statistics of the batch, evaluate the running ones; train is forward, backward and
AdamW, its value the loss; logits_INDEX.npy holds what the last of the others gave.
"""

import logging
import sys
import time
from pathlib import Path

import numpy as np
import torch
from weaver.nn.model.ParticleTransformer import ParticleTransformer

FOLDER, RATE, SEED = Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])


def main() -> None:
    """Answer until the input ends."""
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    drop = dict.fromkeys(("dropout", "attn_dropout", "activation_dropout"), 0.0)
    net = ParticleTransformer(
        17, 10, use_pre_activation_pair=False, trim=False, block_params=drop
    ).train()
    np.savez(FOLDER / "weights.npz", **{k: v.numpy() for k, v in net.state_dict().items()})
    optimiser = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=0.01)
    batches = []
    for path in sorted(FOLDER.glob("batch_*.npz")):
        with np.load(path) as file:
            batches.append({name: torch.tensor(file[name]) for name in file.files})

    def forward(batch: dict) -> torch.Tensor:
        return net(batch["features"], batch["p4"], batch["mask"])

    def train(batch: dict) -> torch.Tensor:
        optimiser.zero_grad()
        loss = torch.nn.functional.cross_entropy(forward(batch), batch["label"])
        loss.backward()
        optimiser.step()
        return loss.detach()

    print("ready", flush=True)
    for line in sys.stdin:
        what, index = line.split()
        batch = batches[int(index)]
        net.train(what != "evaluate")
        with torch.set_grad_enabled(what == "train"):
            start = time.process_time()
            out = (train if what == "train" else forward)(batch)
            seconds = time.process_time() - start
        if what != "train":
            np.save(FOLDER / f"logits_{index}.npy", out.numpy())
        print(seconds, float(out.mean()), flush=True)


logging.disable(logging.INFO)
main()
