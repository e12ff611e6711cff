"""torch's transformer encoder for sphere_flow_vs_peers.py, run by the Python of its environment.

Arguments: a folder with x.npy [event, item, feature], numbers of layers and heads, and the factor
of the wide layers. Says "ready", then answers each line "way what" on its standard input with
"CPU-seconds value": way is "pre" (normalised first, as ours) or "post", for which torch has a fused
path in evaluation; what is forward or gradient.
"""

import sys
import time
from pathlib import Path

import numpy as np
import torch

FOLDER = Path(sys.argv[1])
N_LAYERS, N_HEADS, RATIO = (int(word) for word in sys.argv[2:5])


def network(width: int, first: bool) -> torch.nn.Module:
    """Build the encoder, normalised first or last."""
    layer = torch.nn.TransformerEncoderLayer(
        width, N_HEADS, RATIO * width, 0.0, "gelu", batch_first=True, norm_first=first
    )
    return torch.nn.TransformerEncoder(layer, N_LAYERS, enable_nested_tensor=False)


def main() -> None:
    """Answer until the input ends."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    x = torch.tensor(np.load(FOLDER / "x.npy"))
    networks = {way: network(x.shape[-1], way == "pre") for way in ("pre", "post")}
    print("ready", flush=True)
    for line in sys.stdin:
        way, what = line.split()
        one = networks[way]
        start = time.process_time()
        if what == "forward":
            one.eval()
            with torch.inference_mode():
                value = one(x).mean().item()
        else:
            one.train()
            one.zero_grad(set_to_none=True)
            loss = (one(x) ** 2).mean()
            loss.backward()
            value = loss.item()
        print(time.process_time() - start, value, flush=True)


main()
