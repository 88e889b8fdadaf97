"""What a learner's class makes: is it a module, and does it hold the weights that a case puts into it?"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.func import functional_call

from course_lib.checks.values import WrongForm, describe


def check_weights(module: Any, weights: Mapping[str, Tensor], what: str) -> None:
    """Stop where a module cannot take these weights by name.

    Args:
        module: what the learner's class made.
        weights: all that it should hold. Buffers, such as a mask, are its own business.
        what: what it is called in the message.
    Raises: WrongForm: it is no module, or holds other parameters.
    """
    if not isinstance(module, nn.Module):
        raise WrongForm(f"The class must be a torch.nn.Module; it makes {describe(module)}.")
    found = {name: tuple(value.shape) for name, value in module.named_parameters()}
    wanted = {name: tuple(value.shape) for name, value in weights.items()}
    wrong = sorted(name for name in {*found, *wanted} if found.get(name) != wanted.get(name))
    if wrong:
        name, nothing = wrong[0], "none of that name"
        raise WrongForm(
            f"The weights differ at {name!r}: the {what} should hold {wanted.get(name, nothing)}, but holds "
            f"{found.get(name, nothing)}."
        )


def answer_of(
    module: Any, weights: Mapping[str, Tensor], inputs: tuple[Tensor, ...], before: tuple[Tensor, ...] = ()
) -> Any:
    """What a learner's layer gives with these weights, whatever that is.

    Args:
        module: what the learner's class made.
        weights: put into it by name.
        inputs: what it is called with.
        before: what it is called with first, if anything: nothing of that may be left.
    Raises: WrongForm: as `check_weights`.
    """
    check_weights(module, weights, "layer")
    module = module.to(inputs[0].dtype)
    if before:
        functional_call(module, dict(weights), before)
    return functional_call(module, dict(weights), inputs)
