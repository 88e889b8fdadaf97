"""Pupils and what they hand in for 03_qkv/attention_by_hand: right answers, named mistakes, empty cells.

What each gets is known beforehand, so that a grader's grades can be told from wrong ones.
"""

import json
import random
import shutil
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ASSIGNMENT, NOTEBOOK = "03_qkv", "attention_by_hand.ipynb"
RELEASED = ROOT / "exercises" / ASSIGNMENT / NOTEBOOK
SOURCE = ROOT / "solutions" / ASSIGNMENT / NOTEBOOK
STUB = "raise NotImplementedError"
POINTS = {"project": 1, "scores": 1, "softmax": 2, "mix": 1, "masked_weights": 3, "causal_mask": 2}

# The body of each function; a comment says what is misunderstood.
RIGHT = {
    "project": [
        "return x @ w_q, x @ w_k, x @ w_v",
        "return tuple(np.einsum('...td,dk->...tk', x, w) for w in (w_q, w_k, w_v))",
    ],
    "scores": [
        "return q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])",
        "return np.einsum('...tk,...sk->...ts', q, k) * k.shape[-1] ** -0.5",
    ],
    "softmax": [
        "powers = np.exp(scores - scores.max(axis=-1, keepdims=True))\n"
        "return powers / powers.sum(axis=-1, keepdims=True)",
        "scores = scores - np.max(scores, -1, keepdims=True)\n"
        "return np.exp(scores - np.log(np.exp(scores).sum(-1, keepdims=True)))",
    ],
    "mix": ["return weights @ v", "return np.einsum('...ts,...sd->...td', weights, v)"],
    "masked_weights": [
        "scores = np.where(mask, scores, -np.inf)\n"
        "largest = scores.max(axis=-1, keepdims=True)\n"
        "powers = np.exp(scores - np.where(np.isinf(largest), 0, largest))\n"
        "total = powers.sum(axis=-1, keepdims=True)\n"
        "return powers / np.where(total == 0, 1, total)",
    ],
    "causal_mask": [
        "return np.arange(n_keys) <= np.arange(n_queries)[:, None] + n_keys - n_queries",
        "return np.tri(n_queries, n_keys, n_keys - n_queries, dtype=bool)",
    ],
}
WRONG = {
    "project": [
        "return x @ w_q.T, x @ w_k.T, x @ w_v.T",  # weights as nn.Linear stores them
        "return x @ w_q, x @ w_v, x @ w_k",  # keys and values exchanged
        "return x @ w_q",  # only the queries come back
        "return x @ w_q + 1, x @ w_k + 1, x @ w_v + 1",  # a bias of 1
    ],
    "scores": [
        "return q @ k.swapaxes(-1, -2)",  # not scaled
        "return q @ k.swapaxes(-1, -2) / q.shape[-1]",  # divided by K, not by its root
        "return k @ q.swapaxes(-1, -2) / np.sqrt(q.shape[-1])",  # queries and keys exchanged
        "return q @ k / np.sqrt(q.shape[-1])",  # not transposed
    ],
    "softmax": [
        "return np.exp(scores) / np.exp(scores).sum(axis=-1, keepdims=True)",  # overflows
        "powers = np.exp(scores - scores.max())\nreturn powers / powers.sum()",  # over the whole table
        "powers = np.exp(scores - scores.max(axis=0))\nreturn powers / powers.sum(axis=0)",  # by column
        "scores -= scores.max(axis=-1, keepdims=True)\n"  # changes its input
        "return np.exp(scores) / np.exp(scores).sum(axis=-1, keepdims=True)",
    ],
    "mix": [
        "return weights.swapaxes(-1, -2) @ v",  # transposed
        "return weights @ v / weights.shape[-1]",  # a mean of what is summed already
        "return v @ weights",  # the other way round
    ],
    "masked_weights": [
        "powers = np.exp(scores - scores.max(axis=-1, keepdims=True)) * mask\n"  # 0 / 0 in an empty row
        "return powers / powers.sum(axis=-1, keepdims=True)",
        "powers = np.exp(scores - scores.max(axis=-1, keepdims=True))\n"  # masked after the softmax
        "return powers / powers.sum(axis=-1, keepdims=True) * mask",
        "scores = np.where(mask, -1e9, scores)\n"  # True taken for forbidden
        "powers = np.exp(scores - scores.max(axis=-1, keepdims=True))\n"
        "return powers / powers.sum(axis=-1, keepdims=True)",
    ],
    "causal_mask": [
        "return np.tri(n_queries, n_keys, dtype=bool)",  # counted from the first key
        "return np.tri(n_queries, n_keys, n_keys - n_queries - 1, dtype=bool)",  # a query misses its own key
        "return ~np.tri(n_queries, n_keys, n_keys - n_queries, dtype=bool)",  # True for forbidden
    ],
}


@dataclass(frozen=True)
class Pupil:
    """One pupil.

    Args:
        name: as the folder of the submission is called.
        answers: for each task the body of the function.
        points: for each task what it has to get.
    """

    name: str
    answers: dict[str, str]
    points: dict[str, float]


def pupils(n: int) -> list[Pupil]:
    """The first n pupils, the same in every run: per task 55 % right, 30 % wrong, 15 % not written."""
    return [pupil(i) for i in range(n)]


def pupil(i: int) -> Pupil:
    """The pupil of this number."""
    draw = random.Random(i)
    answers, points = {}, {}
    for task, most in POINTS.items():
        kind = draw.choices(["right", "wrong", "not written"], [55, 30, 15])[0]
        choices = {"right": RIGHT[task], "wrong": WRONG[task], "not written": [STUB]}[kind]
        answers[task] = draw.choice(choices)
        points[task] = float(most) if kind == "right" else 0.0
    return Pupil(f"pupil_{i:03d}", answers, points)


def notebook(answers: dict[str, str]) -> str:
    """The released notebook with the answers filled in, as a file's text."""
    content = json.loads(RELEASED.read_text(encoding="utf-8"))
    for cell in content["cells"]:
        name = cell["metadata"].get("nbgrader", {}).get("grade_id", "")
        if name in answers:
            body = answers[name].replace("\n", "\n    ")
            cell["source"] = "".join(cell["source"]).replace(STUB, body)
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def course(folder: Path, class_: list[Pupil], settings: str = "") -> Path:
    """Make an nbgrader course folder with the six tasks as its assignment, and what everybody handed in.

    Args:
        folder: is made.
        class_: whose submissions.
        settings: lines for nbgrader_config.py, after those of this course.
    """
    source = folder / "solutions" / ASSIGNMENT
    source.mkdir(parents=True)
    shutil.copyfile(SOURCE, source / NOTEBOOK)
    config = (ROOT / "nbgrader_config.py").read_text(encoding="utf-8")
    (folder / "nbgrader_config.py").write_text(f"{config}\n{settings}", encoding="utf-8")
    for one in class_:
        submit(folder, one)
    return folder


def submit(folder: Path, one: Pupil) -> Path:
    """Put what a pupil hands in where nbgrader collects it; return its path."""
    path = folder / "submitted" / one.name / ASSIGNMENT / NOTEBOOK
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(notebook(one.answers), encoding="utf-8")
    return path
