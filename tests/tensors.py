"""What tests of tensors share: numbers that come again, weights that all count, one way to compare."""

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def numbers(*shape, dtype=torch.float64, seed=0):
    return torch.randn(shape, dtype=dtype, generator=seeded(seed + sum(shape)))


def close(ours, theirs, atol=1e-12):
    torch.testing.assert_close(ours, torch.as_tensor(theirs), rtol=0, atol=atol)


def randomise(module, std=0.3):
    """Every parameter counts: biases, and norm scales that are not 1."""
    generator = seeded()
    for parameter in module.parameters():
        parameter.data = std * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
    return module.eval()


class Largest(TorchDispatchMode):
    """The number of elements of the largest tensor that an operation makes."""

    elements = 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        results = operation(*args, **(kwargs or {}))
        sizes = [tensor.numel() for tensor in tree_leaves(results) if isinstance(tensor, torch.Tensor)]
        self.elements = max([self.elements, *sizes])
        return results
