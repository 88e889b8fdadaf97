"""One training loop for every model: AdamW or Muon, warm-up and decay, checkpoints, several processes."""

import json
import math
import os
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import chain, count
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map_only
from tqdm.auto import tqdm

from course_lib.device import has_bfloat16, keep_memory


@dataclass(frozen=True)
class TrainingConfig:
    """How to train.
    Args:
        steps, warmup_steps: see `schedule`. weight_decay: of matrices and tables, not of norms and biases.
        clip: longest gradient, all parameters taken as one vector; None or 0: any length.
        muon_learning_rate: let the hidden matrices learn by `Muon`, at 0.02 say; None: by AdamW as well.
        mixed_precision: multiply matrices in bfloat16 where the device can; weights stay as they are.
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
            if not 0 <= (getattr(self, name) or 0) < math.inf:
                raise ValueError(f"{name} must be 0 or more, and finite; got {getattr(self, name)}")


@dataclass
class History:
    """The loss and the learning rate (AdamW's) of every step."""

    losses: list[float] = field(default_factory=list)
    learning_rates: list[float] = field(default_factory=list)


def schedule(step: int | float, steps: int, warmup_steps: int = 0) -> float:
    """Share of the peak learning rate: up in a line, then down in a line, to 0 when all steps are done.
    Example:
        >>> [schedule(step, steps=6, warmup_steps=2) for step in range(6)]
        [0.5, 1.0, 1.0, 0.75, 0.5, 0.25]
    """
    return min(1.0, (step + 1) / max(warmup_steps, 1), (steps - step) / max(steps - warmup_steps, 1))


def newton_schulz(matrices: Float[Tensor, "n M N"]) -> Float[Tensor, "n M N"]:
    """Bring the singular values of each matrix near 1, keep its directions: U S V^T becomes about U V^T.

    X <- 3.4445 X + (-4.775 X X^T + 2.0315 (X X^T)^2) X, five times, from X / |X|     (Jordan et al. 2024)
    """
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-7)  # no singular value is above 1
    for _ in range(5):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=-4.775, alpha=2.0315), x, beta=3.4445)
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """Let every direction of a matrix W (M x N) learn at the same speed.

        m <- mu m + (1 - mu) g
        W <- (1 - lr decay) W - lr sqrt(max(1, M / N)) newton_schulz(mu m + (1 - mu) g)   (Jordan et al. 2024)
    Args: defaults: lr, momentum (mu), weight_decay (decay). Under autocast it multiplies in bfloat16.
    """

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update the matrices that have a gradient, those of one shape together."""
        for group in self.param_groups:
            mu, learns = group["momentum"], [matrix for matrix in group["params"] if matrix.grad is not None]
            for shape in {matrix.shape for matrix in learns}:
                alike, updates = [matrix for matrix in learns if matrix.shape == shape], []
                for matrix in alike:
                    average = self.state[matrix].setdefault("momentum_buffer", torch.zeros_like(matrix))
                    updates.append(matrix.grad.lerp(average.lerp_(matrix.grad, 1 - mu), mu))
                directions = newton_schulz(torch.stack(updates))
                rate = group["lr"] * max(1, shape[0] / shape[1]) ** 0.5
                for matrix, direction in zip(alike, directions, strict=True):
                    matrix.mul_(1 - group["lr"] * group["weight_decay"]).add_(direction, alpha=-rate)


def make_optimizers(model: nn.Module, config: TrainingConfig) -> list[torch.optim.Optimizer]:
    """AdamW (Loshchilov and Hutter 2019), and `Muon`, if config says so, for the hidden matrices: the weights
    of linear layers that have neither "embedding" nor "head" in their names."""
    names = {p: name for name, p in model.named_parameters() if p.requires_grad}
    outer = {p for p, name in names.items() if "embedding" in name or "head" in name}
    linear = {layer.weight for layer in model.modules() if isinstance(layer, nn.Linear)}
    hidden = [p for p in names if p in linear - outer and config.muon_learning_rate is not None]
    matrices = [p for p in names if p.ndim > 1 and p not in set(hidden)]
    decay: dict[str, Any] = {"weight_decay": config.weight_decay}
    groups = [{"params": matrices} | decay, {"params": [p for p in names if p.ndim < 2]}]
    adamw = torch.optim.AdamW(groups, config.learning_rate, (0.9, 0.95), weight_decay=0.0, fused=True)
    settings = {"lr": config.muon_learning_rate, "momentum": config.muon_momentum} | decay
    return [adamw, Muon(hidden, settings)] if hidden else [adamw]


def train(
    model: nn.Module, batches: Iterable[Any] | Callable[[int], Any], loss: Callable[[Any, Any], Tensor],
    config: TrainingConfig, *, checkpoint: str | Path | None = None, checkpoint_every: int = 100,
    after_step: Callable[[int], object] = lambda step: None, clock: Callable[[int], float] = float,
    progress: bool | None = None,
) -> History:  # fmt: skip
    """Lower the loss, batch by batch; on a CPU equal weights, batches and random state give equal bits.
    Args:
        batches: step -> batch, or an iterable, of which a resumed run skips what was used. A batch is
            a tensor with one row per example, or a tuple, list or dict of such. In a process group (torchrun)
            give every process the same: each works on its share of the rows.
        loss: (model, batch) -> mean over the rows, or the loss of each thing that counts, averaged here.
        checkpoint: file for the state, with torch's CPU generator; if it exists, training goes on from it.
        after_step: called with the number of steps done, to evaluate for instance.
        clock: step -> place on the schedule; a time budget is `lambda step: config.steps * used / budget`.
        progress: show a bar; None: if standard error is a terminal.
    Returns: the history from the first step on, also where a checkpoint went on.
    Raises: ValueError: batches or rows run out, or a checkpoint is damaged or of another set-up;
        FloatingPointError: loss or gradient is not finite: the last good checkpoint is kept.
    """
    if dist.is_torchelastic_launched() and not dist.is_initialized():
        raise RuntimeError("under torchrun call torch.distributed.init_process_group() before train")
    rank, n_processes = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    settings = getattr(getattr(model, "config", None), "__dict__", {}) | vars(config)
    shapes = {name: f"{tuple(t.shape)} {t.dtype}" for name, t in _state(model).items()}
    set_up = {k: str(v) for k, v in ({"model": type(model).__name__} | settings | shapes).items()}
    keep_memory()
    device = next(model.parameters()).device
    mixed = torch.autocast(device.type, torch.bfloat16, config.mixed_precision and has_bfloat16(device))
    optimizers = make_optimizers(model, config)
    path, random, history = Path(checkpoint or ""), torch.get_rng_state(), History()
    if checkpoint and path.exists():
        random, history = _restore(path, set_up, model, optimizers)
    for tensor in model.state_dict().values() if n_processes > 1 else ():
        dist.broadcast(tensor, 0)
    step = saved = len(history.losses)
    stream = map(batches, count(step)) if callable(batches) else iter(batches)
    for _ in range(0 if callable(batches) else step):
        next(stream, None)
    torch.set_rng_state(random)
    bar = tqdm(total=config.steps, disable=True if rank else None if progress is None else not progress)
    model.train()
    while (now := clock(step)) < config.steps:
        random = torch.get_rng_state()
        if (batch := next(stream, None)) is None:
            raise ValueError(f"batches ran out after {step} of {config.steps} steps")
        rows = min((len(x) for x in tree_leaves(batch) if isinstance(x, Tensor)), default=n_processes)
        if rows < n_processes:
            raise ValueError(f"a batch of {rows} rows is too small for {n_processes} process(es)")
        batch = tree_map_only(Tensor, lambda x: x.tensor_split(n_processes)[rank].to(device), batch)
        losses = mixed(loss)(model, batch)
        mean = losses.sum() / max(losses.numel(), 1)
        if n_processes > 1:  # mean becomes this process's part of the mean over all
            weight = losses.numel() if losses.ndim else rows // n_processes + (rank < rows % n_processes)
            dist.all_reduce(total := torch.tensor(weight, dtype=mean.dtype, device=device))
            mean = mean * weight / total
        model.zero_grad()
        mean.backward()
        if n_processes > 1:
            for part in (mean.detach(), *(p.grad for p in model.parameters() if p.grad is not None)):
                dist.all_reduce(part)
        value = mean.item()
        norm = nn.utils.clip_grad_norm_(model.parameters(), config.clip or math.inf).item()
        if not math.isfinite(value + norm):
            kept = f"{path} keeps the state after {saved} steps" if saved else "no checkpoint was kept"
            raise FloatingPointError(f"loss {value}, gradient norm {norm} in step {step}; {kept}")
        if checkpoint and step > saved and step % checkpoint_every == 0:
            saved = step  # only now: these weights have just given a finite loss
            _save(path, set_up, history, _state(model, optimizers) | {"random/cpu": random})
        share = schedule(now, config.steps, config.warmup_steps)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group.setdefault("peak", group["lr"]) * share
            mixed(optimizer.step)()
        history.losses.append(value)
        history.learning_rates.append(config.learning_rate * share)
        step += 1
        bar.set_postfix(loss=f"{value:.3f}", refresh=False)
        bar.update(int(min(now + 1, config.steps)) - bar.n)
        after_step(step)
    bar.close()
    if checkpoint and step > saved:
        _save(path, set_up, history, _state(model, optimizers) | {"random/cpu": torch.get_rng_state()})
    return history


def _state(model: nn.Module, optimizers: Iterable[torch.optim.Optimizer] = ()) -> dict[str, Tensor]:
    """All that training changes, by name; tied weights once."""
    state = {name: t.detach() for name, t in chain(model.named_parameters(), model.named_buffers())}
    for k, optimizer in enumerate(optimizers):
        for i, tensors in optimizer.state_dict()["state"].items():
            state |= {f"optimizer/{k}/{i}/{key}": t for key, t in tensors.items()}
    return state


def _save(path: Path, set_up: dict[str, str], history: History, state: dict[str, Tensor]) -> None:
    """Write a new file, then let it take the old one's place: a crash on the way leaves the old one."""
    if dist.is_initialized() and dist.get_rank():
        return
    about = json.dumps([set_up, vars(history)])
    state = {name: t.clone(memory_format=torch.contiguous_format) for name, t in state.items()}
    metadata = {"about": about, "crc32": str(zlib.crc32(save(state) + about.encode()))}
    with (new := path.with_name(path.name + ".new")).open("wb") as file:
        file.write(save(state, metadata))
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, path)


def _restore(path: Path, new: dict[str, str], model: nn.Module, optimizers: list) -> tuple[Tensor, History]:
    try:
        with safe_open(path, "pt") as file:
            about, crc32 = (file.metadata()[key] for key in ("about", "crc32"))
            state = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
        if int(crc32) != zlib.crc32(save(state) + about.encode()):
            raise ValueError("its checksum is wrong")
    except (SafetensorError, TypeError, KeyError, ValueError) as error:
        raise ValueError(f"{path} is damaged, or no checkpoint of `train`: {error}") from error
    old, history = json.loads(about)
    differ = [f"{k}: {old.get(k)} there, {new.get(k)} here" for k in old | new if old.get(k) != new.get(k)]
    if differ:
        raise ValueError(f"{path} is a checkpoint of another set-up: {'; '.join(differ)}")
    model.load_state_dict(state, strict=False)  # the names are right; the optimizers' are not the model's
    for k, optimizer in enumerate(optimizers):
        tensors: dict[int, dict[str, Tensor]] = {}
        for _, _, i, key in (name.split("/") for name in state if name.startswith(f"optimizer/{k}/")):
            tensors.setdefault(int(i), {})[key] = state[f"optimizer/{k}/{i}/{key}"]
        optimizer.load_state_dict(optimizer.state_dict() | {"state": tensors})
    return state["random/cpu"], History(**history)
