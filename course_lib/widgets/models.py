"""A real model for a notebook, which goes on without it where it is not installed."""

import ast
import copy
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
        try:
            for statement in cell.body:
                missing += [name for name in sorted(read_by(statement) - made) if self.is_missing(name)]
                made |= made_by(statement)
        except SyntaxError:  # it can be parsed, but not run: Python says why
            return cell
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
    outside, *inside = _scopes(_Reading(), statement)
    read = {symbol.get_name() for symbol in outside.get_symbols() if symbol.is_referenced()}
    for scope in inside:
        read |= {each.get_name() for each in scope.get_symbols() if each.is_referenced() and each.is_global()}
    is_compound = hasattr(statement, "body") or isinstance(statement, ast.Match)
    return read - _made_in(outside) if is_compound else read


def made_by(statement: ast.stmt) -> set[str]:
    """The names of the notebook that a statement gives a value or a meaning, or a function that it defines.

    Example:
        >>> sorted(made_by(ast.parse("model, tokenizer = load()").body[0]))
        ['model', 'tokenizer']
    """
    return set[str]().union(*map(_made_in, _scopes(_Plain(), statement)))


class _Plain(ast.NodeTransformer):
    """Writes some statements so that `symtable` sees in them what counts here."""

    def visit_ListComp(self, node: ast.ListComp | ast.SetComp) -> ast.GeneratorExp:
        # From Python 3.12 on, symtable takes the names of others for the notebook's.
        self.generic_visit(node)
        return ast.GeneratorExp(node.elt, node.generators)

    visit_SetComp = visit_ListComp

    def visit_DictComp(self, node: ast.DictComp) -> ast.GeneratorExp:
        self.generic_visit(node)
        return ast.GeneratorExp(ast.Tuple([node.key, node.value], ast.Load()), node.generators)

    def visit_Name(self, node: ast.Name) -> ast.expr:
        # What is deleted is not made: `del x` becomes `del ()`.
        return ast.Tuple([], node.ctx) if isinstance(node.ctx, ast.Del) else node


class _Reading(_Plain):
    """As `_Plain`, and `n += 1` reads `n`."""

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.Expr:
        self.generic_visit(node)
        return ast.Expr(ast.Tuple([node.target, node.value], ast.Load()))


def _scopes(written: ast.NodeTransformer, statement: ast.stmt) -> Iterator[symtable.SymbolTable]:
    """The notebook's scope as far as a statement goes, then those of its functions and classes."""
    code = ast.unparse(written.visit(copy.deepcopy(statement)))
    scopes = [symtable.symtable(code, "cell", "exec")]
    while scopes:
        scope = scopes.pop()
        scopes += scope.get_children()
        yield scope


def _made_in(scope: symtable.SymbolTable) -> set[str]:
    outside = scope.get_type() == "module"
    made = (symbol for symbol in scope.get_symbols() if symbol.is_assigned() or symbol.is_imported())
    return {symbol.get_name() for symbol in made if outside or symbol.is_declared_global()}
