"""The course folder of the chapter for teachers, workshop/grading.md, with what three students handed in."""

import json
import shutil
from pathlib import Path

import small

ASSIGNMENT, NOTEBOOK = "03_qkv", "attention_by_hand.ipynb"
TASKS = ("project", "scores", "softmax", "mix", "masked_weights", "causal_mask")
NOT_WRITTEN = "def mix(weights, v):\n    raise NotImplementedError"
NO_ROWS = "def softmax(scores):\n    powers = np.exp(scores)\n    return powers / powers.sum()"


def course(folder: Path) -> Path:
    """Make the folder: settings, one notebook of the source, three submissions."""
    source = small.REPOSITORY / "solutions" / ASSIGNMENT / NOTEBOOK
    (folder / "solutions" / ASSIGNMENT).mkdir(parents=True)
    shutil.copyfile(source, folder / "solutions" / ASSIGNMENT / NOTEBOOK)
    shutil.copyfile(small.REPOSITORY / "nbgrader_config.py", folder / "nbgrader_config.py")
    right = {task: small.right(f"{ASSIGNMENT}/{task}") for task in TASKS}
    hand_in(folder, "ada", filled(right), "11:00")
    hand_in(folder, "bob", filled({**right, "softmax": NO_ROWS, "mix": NOT_WRITTEN}), "14:30")
    hand_in(folder, "cleo", filled(right)[:2000], "11:59")  # the upload broke off
    return folder


def filled(answers: dict[str, str]) -> str:
    """The released notebook with these answers, as a file's text."""
    notebook = json.loads((small.REPOSITORY / "exercises" / ASSIGNMENT / NOTEBOOK).read_text("utf-8"))
    for cell in notebook["cells"]:
        name = cell["metadata"].get("nbgrader", {}).get("grade_id")
        cell["source"] = answers.get(name, cell["source"])
    return json.dumps(notebook)


def hand_in(folder: Path, student: str, text: str, when: str) -> None:
    """Put a notebook where nbgrader collects it, with the time of that day."""
    path = folder / "submitted" / student / ASSIGNMENT / NOTEBOOK
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")
    path.with_name("timestamp.txt").write_text(f"2026-03-05 {when}:00 UTC\n", encoding="utf-8")
