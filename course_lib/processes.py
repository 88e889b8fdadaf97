"""What the processes of one training share (torchrun starts them): each computes its part of every batch."""

from collections.abc import Callable, Iterable
from contextvars import ContextVar
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map_only

# This process's share of the rows, while it computes its part of a loss; None: there are no others.
_share: ContextVar[float | None] = ContextVar("share", default=None)


def mean(losses: Tensor) -> Tensor:
    """The mean of losses; where there are none it is 0, and so is its gradient.

    While `train` computes a loss on several processes, it is the mean over the losses of all of them:

        sum of the losses here / (number of losses everywhere * share of the rows here)

    `Processes.part_of_loss` multiplies by that share again, so that the parts of all processes add up to the
    mean. Each process has to call this equally often.

    Example:
        >>> mean(torch.tensor([3.0, 5.0])).item(), mean(torch.tensor([])).item()
        (4.0, 0.0)
    """
    n_losses = losses.numel()
    share = _share.get()
    if share is None:
        return losses.sum() / max(n_losses, 1)
    total = torch.tensor(n_losses, device=losses.device)
    dist.all_reduce(total)
    return losses.sum() / (max(total.item(), 1) * share)


class Processes:
    """The processes that train one model: they start from the same weights and take the same steps.

    Where there is only this one, nothing is split, sent or added.

    Args:
        device: where this process computes.
    Raises:
        RuntimeError: started by torchrun, but without a process group.
    """

    def __init__(self, device: torch.device) -> None:
        if dist.is_torchelastic_launched() and not dist.is_initialized():
            raise RuntimeError("under torchrun call torch.distributed.init_process_group() before train")
        self.device = device
        self.rank = dist.get_rank() if dist.is_initialized() else 0
        self.count = dist.get_world_size() if dist.is_initialized() else 1

    def copy_from_first(self, tensors: Iterable[Tensor]) -> None:
        """Write the numbers of process 0 into these tensors."""
        if self.count > 1:
            for tensor in tensors:
                dist.broadcast(tensor, 0)

    def part_of_loss(self, loss: Callable[[Any, Any], Tensor], model: nn.Module, batch: Any) -> Tensor:
        """This process's part of the loss of a batch: all parts together are the loss on one process.

        Args:
            loss: see `training.train`.
            batch: the whole batch, the same for each process.
        Raises:
            ValueError: fewer rows than processes, or tensors that do not have the same number of rows.
        """
        n_rows = self._count_rows(batch)
        rows = tree_map_only(Tensor, self._own_rows_on_device, batch)
        if self.count == 1:
            losses = loss(model, rows)
            return mean(losses) if losses.ndim else losses
        n_here = n_rows // self.count + (self.rank < n_rows % self.count)  # as `tensor_split` cuts
        share = n_here / n_rows
        token = _share.set(share)
        try:
            losses = loss(model, rows)
            value = mean(losses) if losses.ndim else losses
        finally:
            _share.reset(token)
        return value * share

    def add_up(self, part: Tensor, parameters: Iterable[nn.Parameter]) -> float:
        """Add the gradients of all processes, in place, and their parts of the loss.

        Returns:
            the loss of the whole batch
        """
        total = part.detach().clone()
        if self.count > 1:
            dist.all_reduce(total)
            for parameter in parameters:
                if parameter.grad is not None:
                    dist.all_reduce(parameter.grad)
        return total.item()

    def _count_rows(self, batch: Any) -> int:
        tensors = [x for x in tree_leaves(batch) if isinstance(x, Tensor) and x.ndim > 0]
        lengths = [len(x) for x in tensors]
        n_rows = min(lengths, default=self.count)  # without tensors each computes everything
        if n_rows < self.count:
            raise ValueError(f"a batch of {n_rows} rows is too small for {self.count} process(es)")
        if self.count > 1 and max(lengths, default=n_rows) > n_rows:
            raise ValueError(f"several processes need tensors with one row per example; got {lengths} rows")
        return n_rows

    def _own_rows_on_device(self, tensor: Tensor) -> Tensor:
        """The rows that are this process's; the first processes have one more where they do not divide."""
        if self.count > 1 and tensor.ndim > 0:
            tensor = tensor.tensor_split(self.count)[self.rank]
        return tensor.to(self.device)
