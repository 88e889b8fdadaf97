"""Run an experiment of notebook 06 that takes longer than a notebook may, and store what comes out.

`experiments.more_layers` says what is trained. One start after the other, each stored when it is done, from
seeds that nobody has seen: notebooks use 0, tests small ones.
"""

import argparse
import datetime
import sys
from pathlib import Path
from typing import Any

import torch
import yaml

from course_lib.concepts.c06_residuals import experiments

FIRST = 101
HEAD = "# Made by tools/store_depths.py: bits for a character, one a start.\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=experiments.STORED_DEPTHS, help="the file to write to")
    parser.add_argument("--starts", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    found: dict[tuple[int, int, int], list[float]] = {}
    for seed in range(FIRST, FIRST + arguments.starts):
        for training, bits in experiments.more_layers(seed, starts=1).bits.items():
            found.setdefault(training, []).append(round(bits[0], 4))
        made: dict[str, Any] = {
            "date": datetime.date.today().isoformat(),
            "torch": torch.__version__.split("+")[0],
            "seeds": list(range(FIRST, seed + 1)),
            "runs": [
                {"layers": n, "width": width, "steps": steps, "bits": bits}
                for (n, width, steps), bits in found.items()
            ],
        }
        text = HEAD + yaml.safe_dump(made, sort_keys=False, default_flow_style=None)
        arguments.out.write_text(text, "utf-8")
        print(text, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
