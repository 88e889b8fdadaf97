"""One training loop for every model: AdamW or Muon, warm-up and decay, checkpoints, several processes."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from tqdm.auto import tqdm

from course_lib.checkpoint import Checkpoint, History, model_tensors
from course_lib.device import has_bfloat16, keep_memory
from course_lib.processes import Processes


@dataclass(frozen=True)
class TrainingConfig:
    """How to train.

    Args:
        steps: see `schedule`.
        warmup_steps: see `schedule`.
        learning_rate: AdamW's at its peak.
        weight_decay: of matrices and tables, not of norms and biases.
        clip: longest gradient, all parameters taken as one vector; None or 0: any length.
        muon_learning_rate: let the hidden matrices learn by `Muon`, at 0.02 say; None: by AdamW as well.
        muon_momentum: see `Muon`.
        mixed_precision: multiply matrices in bfloat16 where the device can; weights stay as they are.
    Raises:
        ValueError: a number out of range.
    """

    steps: int
    warmup_steps: int = 0
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    clip: float | None = 1.0
    muon_learning_rate: float | None = None
    muon_momentum: float = 0.95
    mixed_precision: bool = False

    def __post_init__(self) -> None:
        if self.steps < 1 or not 0 <= self.warmup_steps <= self.steps:
            got = f"got steps={self.steps}, warmup_steps={self.warmup_steps}"
            raise ValueError(f"steps must be at least 1, warmup_steps from 0 to steps; {got}")
        for name in ("learning_rate", "weight_decay", "clip", "muon_learning_rate", "muon_momentum"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < math.inf:
                raise ValueError(f"{name} must be 0 or more, and finite; got {value}")


def schedule(step: int | float, steps: int, warmup_steps: int = 0) -> float:
    """Share of the peak learning rate: up in a line, then down in a line, to 0 when all steps are done.

    Example:
        >>> [schedule(step, steps=6, warmup_steps=2) for step in range(6)]
        [0.5, 1.0, 1.0, 0.75, 0.5, 0.25]
    """
    up = (step + 1) / max(warmup_steps, 1)
    down = (steps - step) / max(steps - warmup_steps, 1)
    return min(1.0, up, down)


def train(
    model: nn.Module,
    batches: Iterable[Any] | Callable[[int], Any],
    loss: Callable[[Any, Any], Tensor],
    config: TrainingConfig,
    *,
    checkpoint: str | Path | None = None,
    checkpoint_every: int = 100,
    after_step: Callable[[int], object] | None = None,
    clock: Callable[[int], float] = float,
    progress: bool | None = None,
    history: History | None = None,
) -> History:
    """Train the model, in place, batch by batch.

    On a CPU equal weights, batches and random state give the same result to the bit.

    Args:
        batches: step -> batch, or an iterable, of which a resumed run skips what was used. A batch is
            a tensor with one row per example, or a tuple, list or dict of such. In a process group (torchrun)
            give every process the same: each works on its share of the rows. An iterable that shuffles needs
            the same seed before each call of `train`.
        loss: (model, batch) -> a scalar, the mean over the rows; or a tensor of single losses, which are
            averaged here. Where rows have unequal numbers of losses, return the tensor or `processes.mean`
            of it (as `objectives.token_loss` does): both are right on several processes too.
        checkpoint: file for the state, with torch's CPU generator; if it exists, training goes on from it.
            Its folder is made.
        checkpoint_every: write the file after so many steps, and at the end.
        after_step: called with the number of steps done, to evaluate for instance.
        clock: step -> place on the schedule, in steps; default: the step itself. Training ends at place
            config.steps. A budget of seconds: `lambda step: config.steps * (time.time() - start) / seconds`.
        progress: show a bar; None: if standard error is a terminal.
        history: is emptied, then filled step by step: you have it also when training is interrupted.
    Returns:
        the history from the first step on, also where a checkpoint went on
    Raises:
        ValueError: batches or rows run out, or a checkpoint is damaged or of another set-up;
        FloatingPointError: loss or gradient is not finite: the last good checkpoint is kept.
        Any exception that ends the training, KeyboardInterrupt too, has the history as `error.history`.
    """
    keep_memory()  # quicker: what is freed stays with the process
    history = _emptied(history)
    device = next(model.parameters()).device
    processes = Processes(device)
    optimizers = make_optimizers(model, config)
    first = processes.rank == 0
    path = Path(checkpoint) if checkpoint else None
    saver = Checkpoint(path, checkpoint_every, model, optimizers, config, history, writes=first)
    random_state = saver.restore()  # fills the model, the optimizers and the history as well
    processes.copy_from_first(model_tensors(model).values())  # each has read the optimizers' averages itself
    step = len(history.losses)
    stream = _from_step(batches, step)
    if step:
        torch.set_rng_state(random_state)  # after the skipping, which may draw numbers as a DataLoader does
    autocast = torch.autocast(device.type, torch.bfloat16, config.mixed_precision and has_bfloat16(device))
    with history.carried_by_errors(), _bar(config.steps, progress, first) as bar:
        while (place := clock(step)) < config.steps:
            # A checkpoint is the state at this point: weights before the step, random state before its batch.
            # It is written below, when the weights have given a finite loss.
            random_state = torch.get_rng_state()
            batch = next(stream, None)
            if batch is None:
                raise ValueError(f"batches ran out after {step} of {config.steps} steps")
            model.train()  # `after_step` may have called eval()
            with autocast:
                part = processes.part_of_loss(loss, model, batch)
            model.zero_grad()
            part.backward()
            value = processes.add_up(part, model.parameters())
            norm = nn.utils.clip_grad_norm_(model.parameters(), config.clip or math.inf).item()
            if not math.isfinite(value + norm):
                left = saver.what_is_kept
                raise FloatingPointError(f"loss {value}, gradient norm {norm} in step {step}; {left}")
            saver.save_when_due(random_state)
            share = schedule(place, config.steps, config.warmup_steps)
            with autocast:  # Muon multiplies matrices too
                update(optimizers, share)
            history.losses.append(value)
            history.learning_rates.append(config.learning_rate * share)
            step += 1
            bar.set_postfix(loss=f"{value:.3f}", refresh=False)
            bar.update(int(min(place + 1, config.steps)) - bar.n)
            if after_step is not None:
                after_step(step)
        saver.save(torch.get_rng_state())  # the last weights: no loss has tested them
    return history


def update(optimizers: Iterable[torch.optim.Optimizer], share: float) -> None:
    """Change the weights, at this share of each peak learning rate."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            peak = group.setdefault("peak", group["lr"])  # the first call finds it there
            group["lr"] = peak * share
        optimizer.step()


def _emptied(history: History | None) -> History:
    if history is None:
        return History()
    history.losses.clear()
    history.learning_rates.clear()
    return history


def _from_step(batches: Iterable[Any] | Callable[[int], Any], step: int) -> Iterator[Any]:
    """The batches of this step and those after it; those before, in an iterable, are drawn and forgotten."""
    if callable(batches):
        return map(batches, count(step))
    stream = iter(batches)
    for _ in islice(stream, step):
        pass
    return stream


def _bar(steps: int, progress: bool | None, first: bool) -> tqdm:
    """A bar that only the first process shows."""
    if not first:
        progress = False
    return tqdm(total=steps, disable=None if progress is None else not progress)  # None: on a terminal only


def newton_schulz(matrices: Float[Tensor, "n M N"]) -> Float[Tensor, "n M N"]:
    """Bring the singular values of each matrix near 1, keep its directions: U S V^T becomes about U V^T.

    X <- 3.4445 X + (-4.775 X X^T + 2.0315 (X X^T)^2) X, five times, from X / |X|     (Jordan et al. 2024)
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
        defaults: lr, momentum (mu), weight_decay (decay).
    Differs:
        from torch.optim.Muon (torch 2.9 on): matrices of one shape are multiplied together, which is quicker,
        and in bfloat16 only under autocast.
    """

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
            average = self.state[matrix].setdefault("momentum_buffer", torch.zeros_like(matrix))
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
    """
    inner = [layer for layer in model.modules() if isinstance(layer, nn.Linear | nn.RNNBase)]
    weights = {weight for layer in inner for weight in layer.parameters(recurse=False) if weight.ndim > 1}
    hidden, matrices, vectors = [], [], []
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        outer = "embedding" in name or "head" in name
        if config.muon_learning_rate is not None and parameter in weights and not outer:
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
    if hidden:
        settings = {
            "lr": config.muon_learning_rate,
            "momentum": config.muon_momentum,
            "weight_decay": config.weight_decay,
        }
        optimizers.append(Muon(hidden, settings))
    return optimizers
