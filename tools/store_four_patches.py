"""Learn the matrix by which SmolLM2 reads four patches in notebook 02, and store it.

A digit of 8 x 8 pixels is cut into four patches of 4 x 4. Each patch is multiplied by one matrix (16, 576), a
row (576) is added, and the four rows stand between the words of `PROMPTS`. Only the matrix and that row
learn, to make the digit's numeral the likeliest next token; the model stays as it is. Some six minutes.
"""

import argparse
import datetime
import math
import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from course_lib.concepts.c02_patches.experiments import PROMPTS, four_patches, line, moved, next_tokens
from course_lib.concepts.c02_patches.experiments.what_does_it_see import STORED
from course_lib.data import digits
from course_lib.patches import patchify
from course_lib.pretrained import load_smollm2

SEED = 0
STEPS, BATCH, RATE, WARMUP = 240, 32, 0.003, 20
CUTS = {
    "squares": lambda images: patchify(images, 4),
    "lines": lambda images: images.reshape(len(images), 4, 16),  # two lines of 8 pixels: the wrong cut
}


WAYS = ((0, 0), (0, -1), (0, 1), (-1, 0), (1, 0))  # by at most one pixel


def rate_at(step: int) -> float:
    """A linear warm-up, then half a cosine."""
    return RATE * min(1, (step + 1) / WARMUP) * (0.5 + 0.5 * math.cos(math.pi * step / STEPS))


def learned(cut: str, is_moved: bool = False) -> tuple[Tensor, Tensor, list[float]]:
    """The matrix, the row that is added, and the loss at each step; in bfloat16, which is twice as quick."""
    model, tokenizer = load_smollm2(device=torch.device("cpu"))
    model.requires_grad_(False).to(torch.bfloat16)
    numerals = torch.tensor(tokenizer.encode("0123456789"))
    learn, _ = digits()
    torch.manual_seed(SEED)
    matrix = (0.05 * torch.randn(16, 576)).requires_grad_()
    shift = model.token_embedding.weight[numerals].float().mean(0).requires_grad_()  # among the numerals
    optimizer, losses = torch.optim.Adam([matrix, shift]), []
    for step in range(STEPS):
        rows = torch.randint(len(learn.targets), (BATCH,))
        images = learn.inputs[rows]
        if is_moved:
            ways = [WAYS[n] for n in torch.randint(len(WAYS), (BATCH,)).tolist()]
            images = torch.cat([moved(image[None], *way) for image, way in zip(images, ways, strict=True)])
        patches = (CUTS[cut](images) @ matrix + shift).to(torch.bfloat16)
        lines = torch.stack([line((model, tokenizer), PROMPTS[step % 2], four) for four in patches])
        scores = model.lm_head(model.stack(lines)[:, -1]).float()
        loss = F.cross_entropy(scores, numerals[learn.targets[rows]])
        optimizer.param_groups[0]["lr"] = rate_at(step)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_([matrix, shift], 1.0)
        optimizer.step()
        losses.append(loss.item())
        if step % 20 == 19:
            print(step + 1, round(losses[-1], 3), flush=True)
    return matrix.detach(), shift.detach(), losses


def shares_right(cut: str, stored: tuple[Tensor, Tensor]) -> list[float]:
    """Of held-out digits, moved in each of the ways, the share that the model reads; in float32."""
    chat = load_smollm2(device=torch.device("cpu"))
    numerals = torch.tensor(chat[1].encode("0123456789"))
    _, test = digits()
    shares = []
    for way in WAYS:
        patches = CUTS[cut](moved(test.inputs, *way)) @ stored[0] + stored[1]
        found = next_tokens(chat, torch.stack([line(chat, PROMPTS[0], four) for four in patches]))
        shares.append((found == numerals[test.targets]).float().mean().item())
    return shares


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=STORED, help="the file to write")
    parser.add_argument(
        "--cut", choices=CUTS, default="squares", help='"lines" to see what a wrong cut learns'
    )
    parser.add_argument("--moved", action="store_true", help="learn from pictures that move, too")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    matrix, shift, losses = learned(arguments.cut, arguments.moved)
    made = {
        "made_by": "tools/store_four_patches.py",
        "date": datetime.date.today().isoformat(),
        "torch": torch.__version__.split("+")[0],
        "cut": arguments.cut,
        "moved": str(arguments.moved),
        "seed": str(SEED),
        "steps": f"{STEPS} of {BATCH} digits",
        "loss": f"{losses[0]:.3f} at first, {sum(losses[-20:]) / 20:.3f} in the last 20 steps",
    }
    save_file({"matrix": matrix, "shift": shift}, arguments.out, metadata=made)
    stored = four_patches(arguments.out)
    for way, share in zip(WAYS, shares_right(arguments.cut, stored), strict=True):
        print(f"moved by {way}: {share:.1%} of 360 other digits are read right")
    return 0


if __name__ == "__main__":
    sys.exit(main())
