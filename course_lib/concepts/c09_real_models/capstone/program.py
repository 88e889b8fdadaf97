"""One page of Python that chats: the learner's functions, in the order in which a text meets them.

    my_model.save("my_chat.py")
    python my_chat.py "What is the capital of France?"

What is not the learner's stands there in the course's plain version, and the comment above it says so, to
readers and to `take_along`. Of the course the page imports `read_smollm2` alone.
"""

import ast
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from course_lib.checks import tasks
from course_lib.checks.exercise import BEGIN, END, answer_cell, without_marks
from course_lib.concepts.c09_real_models.capstone.statements import defined_by, lines_kept
from course_lib.concepts.c09_real_models.capstone.taking_along import (
    COURSES,
    HELPERS,
    IMPORTS,
    PARTS,
    TAKEN_FROM,
    pieces_of,
)

PAGE = {"chat_form": HELPERS["chat_form"], **PARTS, "decoding": HELPERS["decoding"]}
# What each function does, in the order in which a text meets them.
MEANS = {
    "chat_form": "A question gets the form of the conversations that the model was trained on.",
    "tokenizer": "Each word becomes tokens: its bytes, of which pairs are merged, the first learned first.",
    "embedding": "Each token picks a row of the table, in NumPy; all that follows is torch.",
    "rms_norm": "What is read from the stream is brought to one size.",
    "rotation": "Queries and keys are turned by their place. Pairs are neighbours; the file is sorted so.",
    "cache": "The keys and values of new tokens go behind those that are stored.",
    "attention": "Each token looks at those before it, and mixes what they hold.",
    "mlp": "Each token alone: of two wide vectors one opens and shuts the other.",
    "block": "A layer is two additions to the stream.",
    "forward": "The model: rows of the table, layer after layer, a score for each token that may come next.",
    "sampler": "Scores become probabilities. The few likeliest are kept.",
    "decoding": "Tokens become text.",
}
HEAD = '''"""SmolLM2-135M-Instruct, a chat model: {n} of the {n_parts} parts that compute it are mine."""
'''
NEEDED = """import sys
import torch
from types import SimpleNamespace
from course_lib.concepts.c09_real_models.capstone import read_smollm2"""
FORM = '''def conversation(turns):
    signed = [("system", "You are a helpful AI assistant named SmolLM, trained by Hugging Face"), *turns]
    texts = [f"<|im_start|>{role}\\n{text}<|im_end|>\\n" for role, text in signed]
    return "".join(texts) + "<|im_start|>assistant\\n"'''
TAIL = """
# Token by token: the one that is drawn is read next, up to the end of the answer.
def answer(prompt, t=0.0, p=0.9, most=200):
    new, stored, said = list({tokenizer}(words(prompt), *tables)), empty_cache, b""
    for _ in range(most):
        logits, stored = {forward}(torch.tensor([new]), weights, parts, stored)
        scores, choice = logits[0, -1].topk(2000)
        chances = torch.as_tensor({sampler}(scores, t, p))
        new = [int(choice[chances.multinomial(1)])]
        if token_of[new[0]] == b"<|im_end|>":
            break
        said += token_of[new[0]]
        sys.stdout.buffer.write(token_of[new[0]])  # half a letter, too: the screen joins them
        sys.stdout.buffer.flush()
    return {decoded}


words, tables, token_of, weights, empty_cache = read_smollm2()
parts = SimpleNamespace(rms_norm={rms_norm}, rotation={rotation}, cache={cache})
parts.attention, parts.mlp, parts.block = {attention}, {mlp}, {block}
parts.embedding = lambda ids, table: torch.tensor({embedding}(ids.numpy(), table.numpy())).float()
turns, question = [], " ".join(sys.argv[1:]) or input("> ")  # python {file} "Why is the sky blue?"
while question:
    turns.append(("user", question))
    turns.append(("assistant", answer({chat_form}(turns))))
    print()
    question = "" if sys.argv[1:] else input("> ")
"""


def write_program(path: str | Path, parts: Mapping[str, Any], helpers: Mapping[str, Any]) -> Path:
    """Write the page.

    Args:
        path: of the file.
        parts: the learner's, by the names in `PARTS`.
        helpers: the learner's, by the names in `HELPERS`.
    Raises: ValueError: see `MyModel.save`.
    """
    path, theirs = Path(path), {**parts, **helpers}
    page = {its.function: part for part, its in PAGE.items() if part in theirs or part in PARTS}
    pieces = pieces_of({name: theirs.get(part) or of_the_course(part) for name, part in page.items()})
    called = {"chat_form": "conversation"} | {part: name for name, part in page.items()}
    decoded = "decode([said])" if "decoding" in theirs else 'said.decode(errors="replace")'
    tail = TAIL.format(**called, file=path.name, decoded=decoded).strip()
    _refuse_what_clashes(pieces, tail)
    imports = [code for code in pieces.values() if code.startswith(IMPORTS)]
    blocks = [HEAD.format(n=len(parts), n_parts=len(PARTS)) + f"\n{_sorted(imports)}"]
    if "chat_form" not in theirs:
        blocks.append(f"# {MEANS['chat_form']}\n{FORM}")
    for name, code in pieces.items():
        if code in imports:
            continue
        code = _without_our_words(code, name)
        if name in page:
            whose = "" if page[name] in theirs else f" {COURSES}"
            code = f"# {MEANS[page[name]]}{whose}\n{code}"
        if len(blocks) == 1 and isinstance(ast.parse(code).body[0], ast.Assign):
            blocks[0] += f"\n\n{code}"  # one line apart from the imports
        else:
            blocks.append(code)
    path.write_text("\n\n\n".join([*blocks, tail]) + "\n", encoding="utf-8")
    return path


def of_the_course(part: str) -> Any:
    """A part as our solution has it, made so that its code is found as a learner's is."""
    its = PAGE[part]
    file = lines_kept(f"the course's {its.function}", plain(part) + "\n")
    scope = {"__name__": f"{TAKEN_FROM}the course", "F": F, "np": np, "torch": torch}
    exec(compile(plain(part), file, "exec"), scope)
    return scope[its.function]


def plain(part: str) -> str:
    """The code of our solution: the one in the capstone's notebook, where that has one of its own."""
    name = PAGE[part].task
    concept, short = name.split("/")
    text = (tasks.folder_of("09_real_models") / "my_transformer.md").read_text(encoding="utf-8")
    here = re.search(rf"<!-- task: {name} -->\n```python\n(.+?)\n```", text, re.DOTALL)
    return without_marks(here[1] if here else answer_cell(tasks.folder_of(concept) / f"{short}.py"))


def _without_our_words(code: str, name: str) -> str:
    """A function without the docstring that its task gives it: the comments of the page are shorter."""
    lines = [line for line in code.split("\n") if line.strip() not in (BEGIN, END)]
    tree = next((it for it in ast.parse("\n".join(lines)).body if isinstance(it, ast.FunctionDef)), None)
    if tree is None or len(tree.body) < 2 or ast.get_docstring(tree) not in _words_of_tasks(name):
        return "\n".join(lines)
    words, first = tree.body[:2]
    start = (words.end_lineno or 0) + 1
    while start < first.lineno and not lines[start - 1].strip():
        start += 1
    return "\n".join([*lines[: words.lineno - 1], *lines[start - 1 :]])


def _words_of_tasks(name: str) -> set[str | None]:
    """The docstrings that a function of this name has in the tasks that ask for it."""
    codes = [answer_cell(path) for path in tasks.FOLDER.glob(f"*/tasks/{name}.py")]
    codes += [plain(part) for part, its in PAGE.items() if its.function == name]
    trees = (ast.parse(code).body[0] for code in codes)
    return {ast.get_docstring(it) for it in trees if isinstance(it, ast.FunctionDef)} - {None}


def _sorted(imports: Iterable[str]) -> str:
    """Imports as a formatter sorts them: Python's own, others, the course's; names of one module together."""
    names, groups = defaultdict(set), defaultdict(list)
    for line in {*imports, *NEEDED.split("\n")}:
        if line.startswith("from "):
            module, _, name = line.removeprefix("from ").partition(" import ")
            names[module].add(name)
        else:
            groups[_rank(line.split()[1])].append(line)
    for group in groups.values():
        group.sort()
    for module in sorted(names):
        groups[_rank(module)].append(f"from {module} import {', '.join(sorted(names[module]))}")
    return "\n\n".join("\n".join(groups[rank]) for rank in sorted(groups))


def _rank(module: str) -> int:
    top = module.split(".")[0]
    return 0 if top in sys.stdlib_module_names else 2 if top == "course_lib" else 1


def _refuse_what_clashes(pieces: Mapping[str, str], tail: str) -> None:
    """Raises: ValueError: a name of the learner's is one that the program itself uses."""
    own = {name for tree in ast.parse(tail).body for name in defined_by(tree)}
    for name in own & pieces.keys():
        raise ValueError(f"{name!r} is a name that the program needs itself: give yours another one")
