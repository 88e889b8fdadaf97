"""Make of SmolLM2 a model that fills gaps, as notebook 07 uses it, and store what has learned.

SmolLM2 stays as it is. Its causal mask is lifted; beside each matrix of attention stand two small ones; a row
of its own stands for what is hidden. Only these learn: 0.9 of 135 million numbers, asked for hidden tokens of
texts that SmolLM2 wrote before, of everyday scenes, and of the course's reviews. A rival keeps the mask, all
else alike; of it the curve alone is stored. The gaps that both are asked are in no text that they learn from.
Some half an hour on one core.
"""

import argparse
import datetime
import json
import math
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Generator, Tensor, nn

from course_lib import readers
from course_lib.attention import MultiHeadAttention
from course_lib.bpe import BPETokenizer
from course_lib.concepts.c07_mlm_vs_next_token.live import GAPS, behind, contest
from course_lib.data import reviews
from course_lib.decoder import GPT
from course_lib.generation import generate
from course_lib.pretrained import chat_prompt, load_smollm2

SEED = 0
RANK, ROWS, LENGTH = 8, 8, 32
STEPS, RATE, WARMUP = 320, 0.004, 5
LOWEST, HIGHEST = 0.1, 0.5  # each row hides a share of its tokens between these
OWN = 6  # of the rows of a step, how many are of SmolLM2's own texts; the others are reviews
MEASURED = [0, 5, 10, 20, 40, 80, 120, 160, 200, 240, 280, 320]
REQUEST = "Write a few plain sentences about an ordinary day: {}."
SCENES = """in the kitchen | on the farm | at school | in the garden | at the station | at the doctor's
at the market | by the sea | in the forest | at a birthday | in winter | when it rains | at night
in the street | in the office | at the shop | in the village | on a journey | at breakfast | in the bathroom
with a pet | in the mountains | at a concert | in the library | in the workshop | at a football match
in a small boat | in the old house | with the family | at the bank | on the bus | in the restaurant
with friends | at the zoo"""
N_EACH, N_TOKENS = 6, 100  # texts of each scene, and how long they are


def own_texts(model: GPT, tokenizer: BPETokenizer) -> list[Tensor]:
    """Texts that SmolLM2 writes of each scene, as tokens."""
    scenes = [scene.strip() for line in SCENES.splitlines() for scene in line.split("|")]
    asked: dict[int, list[list[int]]] = {}
    for scene in scenes:
        ids = tokenizer.encode(chat_prompt(REQUEST.format(scene)))
        asked.setdefault(len(ids), []).extend([ids] * N_EACH)
    random, texts = Generator().manual_seed(SEED), []
    end = tokenizer.encode("<|im_end|>")[0]
    for length, rows in asked.items():
        with torch.no_grad():
            written = generate(
                model, torch.tensor(rows), N_TOKENS, temperature=1.0, top_k=50, eos_id=end, generator=random
            )
        for row in written[:, length:]:
            texts.append(row[: int((row != end).sum())])
    return texts


class Learner:
    """SmolLM2 with what learns.

    Args:
        keeps_mask: the rival.
    """

    def __init__(self, model: GPT, tokenizer: BPETokenizer, keeps_mask: bool = False) -> None:
        self.model, self.tokenizer = model.requires_grad_(False), tokenizer
        self.table = model.token_embedding.weight
        random = Generator().manual_seed(SEED)
        self.beside: dict[str, readers.Beside] = {}
        for n, block in enumerate(model.stack.blocks):
            for name in readers.PROJECTIONS:
                large = getattr(block.attention, name)
                down = torch.randn(RANK, large.in_features, generator=random) / math.sqrt(large.in_features)
                both = readers.Beside(large, down, torch.zeros(large.out_features, RANK))
                large.weight.data = large.weight.data.bfloat16()
                setattr(block.attention, name, both)
                self.beside[f"{n}.{name}"] = both
        for module in model.modules():
            if isinstance(module, MultiHeadAttention):
                module.causal = keeps_mask
        self.gap = nn.Parameter(self.table[tokenizer.encode(" _")[0]].clone())
        self.learned = [each for both in self.beside.values() for each in (both.down, both.up)] + [self.gap]

    def read(self, ids: Tensor, hidden: Tensor) -> Tensor:
        """What comes out at each place (B, T, D), where some tokens are hidden."""
        rows = torch.where(hidden[..., None], self.gap, self.table[ids])
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return self.model.stack(rows).float()

    @torch.no_grad()
    def found(self) -> tuple[int, int]:
        """How many of the gaps it fills rightly, and for how many the right word is among five."""
        places = []
        for left, word, right in GAPS:
            start, (answer,) = [0, *self.tokenizer.encode(left)], self.tokenizer.encode(" " + word)
            ids = torch.tensor([[*start, 0, *self.tokenizer.encode(behind(right))]])
            hidden = torch.arange(ids.shape[1])[None] == len(start)
            scores = self.read(ids, hidden)[0, len(start) - 1] @ self.table.T
            places.append(int((scores > scores[answer]).sum()))
        return sum(place == 0 for place in places), sum(place < 5 for place in places)


def learn(learner: Learner, own: Tensor, others: Tensor) -> list[list[int]]:
    """Ask for hidden tokens; the curve, see `readers.filler_made`."""
    optimizer = torch.optim.AdamW(learner.learned, lr=RATE, weight_decay=0)
    random, curve, asked, began = Generator().manual_seed(SEED), [], 0, time.time()
    for step in range(STEPS + 1):
        if step in MEASURED:
            curve.append([step, asked, *learner.found()])
            print(*curve[-1], f"{time.time() - began:.0f} s", flush=True)
        if step == STEPS:
            break
        rows = []
        for n in range(ROWS):
            text = own if n < OWN else others
            start = int(torch.randint(len(text) - LENGTH + 2, (1,), generator=random))
            rows.append(F.pad(text[start : start + LENGTH - 1], (1, 0)))  # 0: the token of a start
        ids = torch.stack(rows)
        share = LOWEST + (HIGHEST - LOWEST) * torch.rand(ROWS, 1, generator=random)
        hidden = torch.rand(ids.shape, generator=random) < share
        hidden[:, 0] = False
        row, place = hidden.nonzero(as_tuple=True)
        found = learner.read(ids, hidden)[row, place - 1]  # the answer is read one place before
        loss = F.cross_entropy(found @ learner.table.T, ids[row, place])
        optimizer.param_groups[0]["lr"] = RATE * min(1, (step + 1) / WARMUP) * max(0.02, 1 - step / STEPS)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(learner.learned, 1.0)
        optimizer.step()
        asked += len(row)
    return curve


def overlap(streams: list[Tensor], tokenizer: BPETokenizer) -> int:
    """How many of the gaps' sentences share six tokens in a row with the texts."""
    known = {tuple(stream[n : n + 6].tolist()) for stream in streams for n in range(len(stream) - 5)}
    shared = 0
    for left, word, right in GAPS:
        ids = tokenizer.encode(f"{left} {word}{behind(right)}")
        shared += any(tuple(ids[n : n + 6]) in known for n in range(len(ids) - 5))
    return shared


def measure(path: Path) -> None:
    """Put beside what is stored who fills how many of the gaps."""
    filled = contest(load_smollm2(device=torch.device("cpu")))
    print(filled)
    with safe_open(path, framework="pt") as file:
        made = file.metadata()
    save_file(load_file(path), path, metadata=made | {"filled": json.dumps(filled)})
    path.chmod(0o644)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=readers.FILLER, help="the file to write")
    parser.add_argument("--measure", action="store_true", help="only count anew who fills how many gaps")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.measure:
        measure(arguments.out)
        return 0
    chat = load_smollm2(device=torch.device("cpu"))
    tokenizer = chat[1]
    texts = own_texts(*chat)
    own = torch.cat(texts)
    print(*(repr(tokenizer.decode(text.tolist())) for text in texts[:: len(texts) // 12]), sep="\n")
    first, second = reviews()
    others = torch.tensor([token for each in first + second for token in tokenizer.encode(each.text + "\n")])
    shared = overlap([own, others], tokenizer)
    print(
        len(own),
        "own tokens,",
        len(others),
        "of reviews;",
        shared,
        "gaps share six tokens in a row",
        flush=True,
    )
    filler = Learner(*chat)
    curves = {"filler": learn(filler, own, others)}
    rival = Learner(*load_smollm2(device=torch.device("cpu")), keeps_mask=True)
    tensors = {"gap": filler.gap}
    for name, both in filler.beside.items():
        tensors |= {f"{name}.down": both.down, f"{name}.up": both.up}
    made = {
        "made_by": "tools/store_filler.py",
        "date": datetime.date.today().isoformat(),
        "torch": torch.__version__.split("+")[0],
        "seed": str(SEED),
        "learned": f"{sum(each.numel() for each in filler.learned)} numbers",
        "texts": f"{len(own)} tokens that SmolLM2 wrote, {len(others)} of reviews",
        "steps": f"{STEPS} of {ROWS} rows of {LENGTH} tokens, of which {LOWEST} to {HIGHEST} were hidden",
        "gaps_that_share_six_tokens": str(shared),
    }

    def store() -> None:
        stored = {name: tensor.detach().bfloat16().contiguous() for name, tensor in tensors.items()}
        save_file(stored, arguments.out, metadata=made | {"curves": json.dumps(curves)})

    store()
    curves["mask kept"] = learn(rival, own, others)
    store()
    measure(arguments.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
