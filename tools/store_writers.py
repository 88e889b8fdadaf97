"""Train the two that write in notebook 08 for longer than a notebook may take, and store them.

`experiments.make_writers` and `train_writer` say what is trained, and how.
"""

import argparse
import datetime
import sys
from pathlib import Path

import torch
import yaml
from safetensors.torch import save_file

from course_lib.concepts.c08_rnn_comparison import experiments

HEAD = "# Made by tools/store_writers.py: seconds of one core, and bits for a held-out character.\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=experiments.WRITERS.parent, help="the folder to write to")
    parser.add_argument("--steps", type=int, default=experiments.WRITER_STEPS)
    arguments = parser.parse_args()
    made: dict[str, object] = {
        "date": datetime.date.today().isoformat(),
        "torch": torch.__version__.split("+")[0],
        "steps": arguments.steps,
    }
    tensors = {}
    for name, model in experiments.make_writers().items():
        seconds, bits = experiments.train_writer(model, arguments.steps)
        made[name] = {
            "weights": experiments.n_weights(model),
            "seconds": round(seconds),
            "bits": round(bits, 3),
        }
        print(name, made[name], flush=True)
        for key, weight in model.named_parameters():  # a table that is used twice is stored once
            tensors[f"{name}.{key}"] = weight.detach().half().contiguous()
    save_file(tensors, arguments.out / experiments.WRITERS.name)
    text = HEAD + yaml.safe_dump(made, sort_keys=False, default_flow_style=None)
    (arguments.out / experiments.WRITERS_MADE.name).write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
