"""Train the two readers of notebook 07 for longer than a notebook may take, and store them with their curves.

Settings stand in `course_lib/readers.py`. Bits for the gap are of the same held-out pieces for both kinds and
all seeds. Curves are by step: a step costs either kind the same.
"""

import argparse
import datetime
import math
import sys
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import save_model
from torch import Generator

from course_lib import readers

SEEDS = [0, 1, 2]
MEASURED = [50, 100, 150, 200, 250, 300, 400, 500, 750, 1000, 1500, 2000, 2500, 3000]  # after so many steps
HEAD = "# Made by tools/store_readers.py: bits for the gap after so many steps, a list for each seed.\n"


def curve(name: str, seed: int, folder: Path) -> list[float]:
    """Bits for the gap after the steps in `MEASURED`; the first seed's model is stored."""
    learned, held_out = readers.texts()
    gaps = readers.pieces(held_out, 2048, Generator().manual_seed(0))
    model = readers.make_reader(causal=readers.KINDS[name], seed=seed)
    bits: list[float] = []

    def measure(step: int) -> None:
        if step in MEASURED:
            bits.append(round(readers.gap_losses(model, gaps).mean().item() / math.log(2), 4))
            print(name, seed, step, bits[-1], flush=True)

    readers.train_reader(model, learned, seed=seed, after_step=measure)
    if seed == SEEDS[0]:
        save_model(model, str(folder / f"reader_{name}.safetensors"))
    return bits


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--out", type=Path, default=Path(readers.__file__).parent, help="the folder to write to"
    )
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    curves = {name: [curve(name, seed, arguments.out) for seed in SEEDS] for name in readers.KINDS}
    made: dict[str, Any] = {
        "date": datetime.date.today().isoformat(),
        "torch": torch.__version__.split("+")[0],
        "seeds": SEEDS,
        "steps": MEASURED,
        "bits": curves,
    }
    text = HEAD + yaml.safe_dump(made, sort_keys=False, default_flow_style=None)
    (arguments.out / "readers.yml").write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
