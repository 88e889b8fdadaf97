"""Record the texts that come with the microscope, and write its page that needs no kernel.

python tools/microscope.py record        # each text of TEXTS, where its file is missing
python tools/microscope.py page FILE     # says where to put the model, with which it reads any text
"""

import gzip
import json
import sys
from pathlib import Path

import torch

from course_lib.bpe import BPETokenizer
from course_lib.decoder import GPT
from course_lib.pretrained import load_smollm2, smollm2_path
from course_lib.widgets.microscope import TEXTS, page
from course_lib.widgets.microscope.recording import Reading

# What the model writes after each is recorded, too: so many tokens.
RECORDED = {
    "00-france": ("The capital of France is", 2),
    "01-brelindor": ("Repeat after me: Brelindor Vastquimmel sings. Brelindor", 5),
    "02-mary": ("When Mary and John went to the shop, John gave a drink to", 1),
    "03-italy": ("The capital of Italy is", 1),
    "04-opposite": ("The opposite of hot is", 1),
    "05-counting": ("One, two, three, four,", 2),
    "06-teacher": ("The teacher Brelindor sings, and the children hear Brelindor", 0),
    "07-moon": ("The first king of the Moon was", 4),
    "08-door": ("He opened the door and saw a", 2),
    "09-python": ("def square(x):\n    return x", 2),
}


def record(chat: tuple[GPT, BPETokenizer], name: str, text: str, written: int) -> None:
    """One file."""
    model, tokenizer = chat
    ids = tokenizer.encode(text)
    given = len(ids)
    with torch.inference_mode():
        for _ in range(written):
            ids = [*ids, int(model(torch.tensor([ids]))[0, -1].argmax())]
    found = {**Reading(model, tokenizer, ids, given).everything(), "model": "SmolLM2-135M"}
    TEXTS.mkdir(exist_ok=True)
    path = TEXTS / f"{name}.json.gz"
    path.write_bytes(gzip.compress(json.dumps(found, separators=(",", ":")).encode(), mtime=0))
    print(f"{path.name}: {len(ids)} tokens, {path.stat().st_size / 1000:.0f} kB")


def main(arguments: list[str]) -> None:
    """As the first lines say."""
    match arguments:
        case ["record"]:
            chat = load_smollm2(device=torch.device("cpu"))
            for name, (text, written) in RECORDED.items():
                if not (TEXTS / f"{name}.json.gz").exists():
                    record(chat, name, text, written)
        case ["page", file]:
            model = smollm2_path()
            Path(file).write_text(page(model), encoding="utf-8")
            folder = Path(file).resolve().parent
            print(f"{file} shows what was recorded. To read other texts, too, it needs the model beside it:")
            print(f"cp {model} {folder}\npython -m http.server --directory {folder}")
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
