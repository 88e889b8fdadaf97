"""How much code runs from a text to the next words: what somebody reads who follows it from end to end.

A small GPT in GPT-2's style is built, and with its own byte-level tokenizer and a cache it writes ten tokens.
Each function of the course that was called is counted once, with its lines of code: signature and body,
without docstring, comments and empty lines. The tokenizer's training is not counted.

Another project with nanoGPT's interface is counted in the same way, from ids to ids:
`python benchmarks/lines_read.py --other path/to/nanoGPT`, a folder that holds its `model.py`.
"""

import argparse
import ast
import importlib.util
import io
import sys
import tokenize
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from course_lib.bpe import BPETokenizer
from course_lib.decoder import GPT, GPTConfig
from course_lib.generation import generate

LIBRARY = Path(__file__).resolve().parent.parent / "course_lib"
TEXT = "to be or not to be, that is the question. " * 8
AT_MOST = 610
LAYOUT = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)


def functions_called(work: Callable[[], object], folder: Path) -> set[tuple[Path, int]]:
    """File and first line of each function below a folder that is called."""
    called = set()

    def enter(frame: FrameType, event: str, argument: Any) -> None:
        file = Path(frame.f_code.co_filename)
        if file.is_relative_to(folder):
            called.add((file, frame.f_code.co_firstlineno))

    sys.settrace(enter)
    try:
        work()
    finally:
        sys.settrace(None)
    return called


def lines_of_code(file: Path) -> Iterator[tuple[int, set[int]]]:
    """For each function of a file its first line, decorators included, and its lines of code."""
    source = file.read_text("utf-8")
    nodes = list(ast.walk(ast.parse(source)))
    code: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in LAYOUT:
            code.update(range(token.start[0], token.end[0] + 1))
    for node in nodes:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node) is not None:
            code.difference_update(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    for node in nodes:
        if isinstance(node, ast.FunctionDef):
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            yield first, code & set(range(first, (node.end_lineno or 0) + 1))


def show(name: str, called: set[tuple[Path, int]]) -> int:
    """Print the counts of each file, and give the sum."""
    counts: dict[str, tuple[int, int]] = {}
    for file in {file for file, _ in called}:
        of_file = [lines for first, lines in lines_of_code(file) if (file, first) in called]
        counts[file.name] = len(set().union(*of_file)), len(of_file)
    total, n_functions = (sum(column) for column in zip(*counts.values(), strict=True))
    print(f"{name}: {total} lines in {n_functions} functions of {len(counts)} files")
    for file_name, (lines, functions) in sorted(counts.items(), key=lambda item: -item[1][0]):
        print(f"    {file_name:20} {lines:4} lines, {functions:3} functions")
    return total


def ours() -> int:
    """Our own count."""
    tokenizer = BPETokenizer.train(TEXT, 270)

    def from_text_to_text() -> str:
        model = GPT(GPTConfig(tokenizer.vocab_size, 64, d_model=24, n_layers=2, n_heads=3))
        ids = torch.tensor([tokenizer.encode("to be or")])
        return tokenizer.decode(generate(model, ids, 10)[0].tolist())

    return show("course_lib", functions_called(from_text_to_text, LIBRARY))


def another(folder: Path) -> None:
    """The count of a project with nanoGPT's interface."""
    spec = importlib.util.spec_from_file_location("model", folder / "model.py")
    if spec is None or spec.loader is None:
        raise SystemExit(f"There is no {folder / 'model.py'}.")
    module = importlib.util.module_from_spec(spec)
    sys.modules["model"] = module  # dataclasses look their module up there
    spec.loader.exec_module(module)
    config = module.GPTConfig(block_size=64, vocab_size=270, n_layer=2, n_head=3, n_embd=24)
    ids = torch.tensor([[1, 2, 3]])
    show(folder.name, functions_called(lambda: module.GPT(config).generate(ids, 10), folder))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--other", type=Path, action="append", default=[], help="a folder with model.py")
    arguments = parser.parse_args()
    total = ours()
    for folder in arguments.other:
        another(folder.resolve())
    print(f"At most {AT_MOST}: {'met' if total <= AT_MOST else 'missed'}")
    return int(total > AT_MOST)


if __name__ == "__main__":
    sys.exit(main())
