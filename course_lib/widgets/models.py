"""A real model for a notebook, which goes on without it where it is not installed."""

import ast
import html
import symtable
from collections.abc import Callable, Iterator
from typing import Any, ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Loaded = TypeVar("Loaded")


class NotInstalled:
    """Stands where a model would be, or what is made of it; it can be taken apart, as model and tokenizer."""

    def __iter__(self) -> Iterator["NotInstalled"]:
        return iter((self, self))


def at_hand(
    load: Callable[Arguments, Loaded], *args: Arguments.args, **kwargs: Arguments.kwargs
) -> Loaded | NotInstalled:
    """What a loader gives: a model and its tokenizer.

    Where the model is not installed, a sentence says so, and from the next cell on the notebook leaves out
    each cell that reads what is not there.

    Args:
        load: such as `pretrained.load_smollm2`.
        args, kwargs: for it.
    Raises: MissingModelError: it is not installed, and this is no notebook.
    """
    # Imported here: who asks for a prediction needs no torch.
    from IPython.core.getipython import get_ipython

    from course_lib.checks.show import show
    from course_lib.pretrained import MissingModelError

    try:
        return load(*args, **kwargs)
    except MissingModelError as missing:
        shell = get_ipython()
        if shell is None:
            raise
        if not any(isinstance(each, LeavesOut) for each in shell.ast_transformers):
            shell.ast_transformers.append(LeavesOut(shell.user_ns))
        said = f"{missing} Cells that need it are left out."
        show(said, f"<p>{html.escape(said)}</p>")
        return NotInstalled()


class LeavesOut(ast.NodeTransformer):
    """Leaves out a cell that reads what is missing, but for its imports; what it would have made is missing.

    Args:
        names: of the notebook, with their values.
    """

    def __init__(self, names: dict[str, Any]) -> None:
        self.names = names

    def visit_Module(self, cell: ast.Module) -> ast.Module:
        missing, made = [], set[str]()
        for statement in cell.body:
            missing += [name for name in sorted(read_by(statement) - made) if self.is_missing(name)]
            made |= made_by(statement)
        if missing:
            self.names.update(dict.fromkeys(made, NotInstalled()))
            said = ast.parse(f"print('Left out: there is no {missing[0]} here.')")
            imports = [each for each in cell.body if isinstance(each, ast.Import | ast.ImportFrom)]
            cell.body = [*imports, *said.body]
        return cell

    def is_missing(self, name: str) -> bool:
        return isinstance(self.names.get(name), NotInstalled)


def read_by(statement: ast.stmt) -> set[str]:
    """The names of the notebook that a statement reads, in functions as well; not what it makes on its way.

    Example:
        >>> read_by(ast.parse("texts = [write(text) for text in beginnings]").body[0]) - {"beginnings"}
        {'write'}
    """

    def of(table: symtable.SymbolTable) -> set[str]:
        outside = table.get_type() == "module"
        own = {
            symbol.get_name()
            for symbol in table.get_symbols()
            if symbol.is_referenced() and (outside or symbol.is_global())
        }
        return own.union(*map(of, table.get_children()))

    on_its_way = made_by(statement) if hasattr(statement, "body") else set()
    for each in ast.walk(
        statement
    ):  # from Python 3.12 on, symtable counts a comprehension's as the notebook's
        if isinstance(each, ast.comprehension):
            on_its_way |= made_by(each)
    return of(symtable.symtable(ast.unparse(statement), "cell", "exec")) - on_its_way


def made_by(statement: ast.stmt | ast.comprehension) -> set[str]:
    """The names that a statement gives a value or a meaning.

    Example:
        >>> sorted(made_by(ast.parse("model, tokenizer = load()").body[0]))
        ['model', 'tokenizer']
    """
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        return {statement.name}
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return {each.asname or each.name for each in statement.names}
    targets = [*getattr(statement, "targets", []), *filter(None, [getattr(statement, "target", None)])]
    names = (node for target in targets for node in ast.walk(target))
    own = {node.id for node in names if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    return own.union(*map(made_by, getattr(statement, "body", [])))
