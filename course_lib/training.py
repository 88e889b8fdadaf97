"""One training loop for every model: AdamW or Muon, warm-up and decay."""

import math
import sys
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from itertools import count
from typing import Any, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only
from tqdm.auto import tqdm

from course_lib.device import has_bfloat16, keep_memory

Item = TypeVar("Item")


@dataclass(frozen=True)
class TrainingConfig:
    """How to train.

    Args:
        steps: how many; see `share_of_peak`.
        warmup_steps: see `share_of_peak`.
        learning_rate: AdamW's at its peak.
        weight_decay: of matrices and tables, not of norms and biases.
        clip: longest gradient, all parameters taken as one vector; None or 0: any length.
        muon_learning_rate: let the hidden matrices learn by `Muon`, at 0.02 say; None: by AdamW as well.
        mixed_precision: multiply matrices in bfloat16 where the device can; weights stay as they are.
    Raises: ValueError: a number out of range.
    Example:
        >>> TrainingConfig(steps=300, warmup_steps=20).learning_rate
        0.001
    """

    steps: int
    warmup_steps: int = 0
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    clip: float | None = 1.0
    muon_learning_rate: float | None = None
    mixed_precision: bool = False

    def __post_init__(self) -> None:
        if self.steps < 1 or not 0 <= self.warmup_steps <= self.steps:
            got = f"got steps={self.steps}, warmup_steps={self.warmup_steps}"
            raise ValueError(f"steps must be at least 1, warmup_steps from 0 to steps; {got}")
        for name in ("learning_rate", "weight_decay", "clip", "muon_learning_rate"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < math.inf:
                raise ValueError(f"{name} must be 0 or more, and finite; got {value}")


@dataclass
class History:
    """The loss and the learning rate (AdamW's) of every step so far.

    Args:
        losses: a number for each step.
        learning_rates: a number for each step.
    Example:
        >>> History([2.5, 1.5], [0.1, 0.05]).losses[-1]
        1.5
    """

    losses: list[float] = field(default_factory=list)
    learning_rates: list[float] = field(default_factory=list)


def share_of_peak(place: int | float, steps: int, warmup_steps: int = 0) -> float:
    """Share of the peak learning rate: up in a line, then down in a line, to 0 when all steps are done.

    Args:
        place: how far training is, in steps; may lie between two.
        steps: of the whole training.
        warmup_steps: those on the way up.
    Returns: from 0 to 1.
    Example:
        >>> [share_of_peak(step, steps=6, warmup_steps=2) for step in range(6)]
        [0.5, 1.0, 1.0, 0.75, 0.5, 0.25]
    """
    up = (place + 1) / max(warmup_steps, 1)
    down = (steps - place) / max(steps - warmup_steps, 1)
    return min(1.0, up, down)


@keep_memory()  # quicker: what one step frees is there for the next
def train(
    model: nn.Module,
    batches: Iterable[Any] | Callable[[int], Any],
    loss: Callable[[Any, Any], Tensor],
    config: TrainingConfig,
    *,
    after_step: Callable[[int], object] | None = None,
    clock: Callable[[int], float] = float,
    progress: bool | None = None,
) -> History:
    """Train the model, in place, batch by batch.

    On a CPU equal weights, batches and random state give the same result to the bit.

    Args:
        model: on the device where it is to be trained.
        batches: step -> batch, or an iterable. A batch is a tensor with one row per example, or a tuple, list
            or dict of such.
        loss: (model, batch) -> a scalar, or single losses, which are averaged here.
        config: rates and steps.
        after_step: called with the number of steps done, to evaluate for instance.
        clock: step -> how far training is, in steps; default: the step itself. Training ends at config.steps.
            A budget of seconds: `lambda step: config.steps * (time.time() - start) / seconds`.
        progress: show a bar; None: if standard error is a terminal.
    Returns: the history.
    Raises: ValueError: batches or rows run out. FloatingPointError: loss or gradient is not finite; the
        weights are those that gave it.
    Example:
        >>> model, x = nn.Linear(1, 1), torch.ones(3, 1)
        >>> def error(model, batch):
        ...     return (model(batch) - 7) ** 2
        >>> history = train(model, lambda step: x, error, TrainingConfig(200, learning_rate=0.5))
        >>> len(history.losses), history.losses[-1] < 1e-3
        (200, True)
    """
    history = History()
    device = next(model.parameters()).device
    optimizers = make_optimizers(model, config)
    upcoming = map(batches, count()) if callable(batches) else iter(batches)
    autocast = torch.autocast(device.type, torch.bfloat16, config.mixed_precision and has_bfloat16(device))
    with _bar(config.steps, progress) as bar:
        for step in count():
            place = clock(step)
            if place >= config.steps:
                break
            batch = next(upcoming, None)
            if batch is None:
                raise ValueError(f"batches ran out after {step} of {config.steps} steps")
            model.train()  # `after_step` may have called eval()
            model.zero_grad()
            with autocast:
                losses = loss(model, _on_device(batch, device))
                mean_loss = losses.mean() if losses.numel() else losses.sum()  # where there are none: 0
            mean_loss.backward()
            value = mean_loss.item()
            gradient_norm = nn.utils.clip_grad_norm_(model.parameters(), config.clip or math.inf).item()
            if not math.isfinite(value + gradient_norm):
                raise FloatingPointError(f"loss {value}, gradient norm {gradient_norm} in step {step}")
            share = share_of_peak(place, config.steps, config.warmup_steps)
            with autocast:  # Muon multiplies matrices too
                update(optimizers, share)
            history.losses.append(value)
            history.learning_rates.append(config.learning_rate * share)
            bar.set_postfix(loss=f"{value:.3f}", refresh=False)
            bar.update(int(min(place + 1, config.steps)) - bar.n)
            if after_step is not None:
                after_step(step + 1)
    return history


def update(optimizers: Iterable[torch.optim.Optimizer], share: float) -> None:
    """Change the weights by their gradients, at this share of each peak learning rate.

    Args:
        optimizers: their learning rates at the first call are the peaks.
        share: from 0 to 1.
    Example:
        >>> weight = nn.Parameter(torch.ones(1))
        >>> weight.grad = torch.ones(1)
        >>> update([torch.optim.SGD([weight], lr=0.5)], share=0.5)
        >>> weight.item()
        0.75
    """
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            peak = group.setdefault("peak", group["lr"])
            group["lr"] = peak * share
        optimizer.step()


def _on_device(batch: Any, device: torch.device) -> Any:
    """The same batch, with all its tensors on the device."""

    def move(tensor: Tensor) -> Tensor:
        if tensor.ndim and not len(tensor):
            raise ValueError(f"a batch has no rows: one of its tensors is {tuple(tensor.shape)}")
        return tensor.to(device)

    return tree_map_only(Tensor, move, batch)


def starts_of(seed: int, starts: int) -> range:
    """The seeds of so many random starts; another seed has others, none of them the same.

    Example:
        >>> list(starts_of(0, 3)), list(starts_of(1, 3))
        ([0, 1, 2], [3, 4, 5])
    """
    return range(seed * starts, (seed + 1) * starts)


def bar(items: Collection[Item], desc: str | None = None) -> Iterable[Item]:
    """The items, one by one, with a bar that says how many are done: on a terminal and in a notebook.

    Args:
        items: what takes long, piece by piece.
        desc: what stands before the bar, which goes away in the end.
    Example:
        >>> [n * n for n in bar([2, 3], "squares")]
        [4, 9]
    """
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    hidden = False if hasattr(shell, "kernel") else None  # None: but on a terminal
    done: Iterable[Item] = tqdm(items, desc, leave=False, disable=hidden)
    return done


def _bar(steps: int, progress: bool | None) -> tqdm:
    return tqdm(total=steps, disable=None if progress is None else not progress)  # None: on a terminal only


def newton_schulz(matrices: Float[Tensor, "n M N"]) -> Float[Tensor, "n M N"]:
    """Bring the singular values of each matrix near 1, keep its directions: U S V^T becomes about U V^T.

        X <- 3.4445 X + (-4.775 X X^T + 2.0315 (X X^T)^2) X, five times, from X / |X|     (Jordan et al. 2024)

    Args:
        matrices: n of one shape.
    Returns: matrices of this shape; their singular values lie between .7 and 1.2, those near 0 excepted.
    Example:
        >>> newton_schulz(torch.tensor([[[50.0, 0.0], [0.0, 20.0]]])).round().tolist()
        [[[1.0, 0.0], [0.0, 1.0]]]
    """
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    length = x.norm(dim=(-2, -1), keepdim=True)
    x = x / length.clamp(min=1e-7)  # no singular value is above 1
    for _ in range(5):
        gram = x @ x.mT
        gram = torch.baddbmm(gram, gram, gram, beta=-4.775, alpha=2.0315)
        x = torch.baddbmm(x, gram, x, beta=3.4445)
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """Let every direction of a matrix W (M x N) learn at the same speed.

        m <- mu m + (1 - mu) g
        W <- (1 - lr decay) W - lr sqrt(max(1, M / N)) newton_schulz(mu m + (1 - mu) g)   (Jordan et al. 2024)

    Args:
        params: the matrices.
        lr: learning rate.
        momentum: mu, how much of the average m stays at a step.
        weight_decay: decay, how fast a matrix shrinks where nothing else happens.
    Example:
        >>> matrix = nn.Parameter(torch.zeros(2, 2))
        >>> matrix.grad = torch.tensor([[50.0, 0.0], [0.0, 20.0]])
        >>> Muon([matrix], lr=1.0).step()
        >>> matrix.detach().round().tolist()
        [[-1.0, 0.0], [0.0, -1.0]]

    Differs: torch.optim.Muon (torch 2.9 on) multiplies one matrix after the other, always in bfloat16. Here
    those of one shape are multiplied together, which is quicker, and in bfloat16 only under autocast.
    """

    def __init__(
        self, params: Iterable[nn.Parameter], lr: float, momentum: float = 0.95, weight_decay: float = 0.0
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update the matrices that have a gradient."""
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[Tensor]] = {}
            for matrix in group["params"]:
                if matrix.grad is not None:
                    by_shape.setdefault(matrix.shape, []).append(matrix)
            for matrices in by_shape.values():
                self._update(matrices, group)

    def _update(self, matrices: list, group: dict[str, Any]) -> None:
        """Update matrices of one shape."""
        rate, mu = group["lr"], group["momentum"]
        ahead = []
        for matrix in matrices:
            if "momentum_buffer" not in self.state[matrix]:
                self.state[matrix]["momentum_buffer"] = torch.zeros_like(matrix)
            average = self.state[matrix]["momentum_buffer"]
            average.lerp_(matrix.grad, 1 - mu)
            ahead.append(matrix.grad.lerp(average, mu))
        directions = newton_schulz(torch.stack(ahead))
        n_rows, n_columns = matrices[0].shape
        length = rate * max(1, n_rows / n_columns) ** 0.5
        for matrix, direction in zip(matrices, directions, strict=True):
            matrix.mul_(1 - rate * group["weight_decay"])
            matrix.add_(direction, alpha=-length)


def make_optimizers(model: nn.Module, config: TrainingConfig) -> list[torch.optim.Optimizer]:
    """AdamW (Loshchilov and Hutter 2019) and, if config says so, `Muon` for the hidden matrices.

    These are the weights of linear and recurrent layers with neither "embedding" nor "head" in their names.

    Args:
        model: parameters that require no gradient are left out.
        config: learning rates and weight decay.
    Returns: AdamW, then Muon where something is left for it.
    Example:
        >>> config = TrainingConfig(steps=1, muon_learning_rate=0.02)
        >>> [type(optimizer).__name__ for optimizer in make_optimizers(nn.Linear(3, 2), config)]
        ['AdamW', 'Muon']
    """
    muon_rate = config.muon_learning_rate
    inner = [layer for layer in model.modules() if isinstance(layer, nn.Linear | nn.RNNBase)]
    weights = {weight for layer in inner for weight in layer.parameters(recurse=False) if weight.ndim > 1}
    hidden, matrices, vectors = [], [], []
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        outer = "embedding" in name or "head" in name
        if muon_rate is not None and parameter in weights and not outer:
            hidden.append(parameter)
        elif parameter.ndim > 1:
            matrices.append(parameter)
        else:
            vectors.append(parameter)
    groups = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    optimizers: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(groups, config.learning_rate, betas=(0.9, 0.95), fused=True)
    ]
    if muon_rate is not None and hidden:
        optimizers.append(Muon(hidden, muon_rate, weight_decay=config.weight_decay))
    return optimizers
