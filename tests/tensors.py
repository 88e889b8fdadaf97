"""What tests of tensors share: numbers that come again, weights that all count, one way to compare."""

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def numbers(*shape, dtype=torch.float64, seed=0):
    return torch.randn(shape, dtype=dtype, generator=seeded(seed + sum(shape)))


def assert_close(ours, theirs, atol=1e-12):
    torch.testing.assert_close(ours, torch.as_tensor(theirs), rtol=0, atol=atol)


def randomise(module, std=0.3):
    """Every parameter counts: biases, and norm scales that are not 1."""
    generator = seeded()
    for parameter in module.parameters():
        parameter.data = std * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
    return module.eval()


def load_torchs_layer(ours, theirs):
    """The weights of torch's encoder or decoder layer, which stores q, k and v as one, in our block."""
    names = {
        "self_attn": "attention",
        "norm1": "attention_norm",
        "linear1": "feed_forward.up_proj",
        "linear2": "feed_forward.down_proj",
        "norm2": "feed_forward_norm",
    }
    if hasattr(theirs, "multihead_attn"):
        names |= {"multihead_attn": "cross_attention", "norm2": "cross_attention_norm"}
        names["norm3"] = "feed_forward_norm"
    state = {}
    for name, value in theirs.state_dict().items():
        module, _, part = name.partition(".")
        if part.startswith("in_proj_"):
            for projection, chunk in zip("qkv", value.chunk(3), strict=True):
                state[f"{names[module]}.{projection}_proj.{part.removeprefix('in_proj_')}"] = chunk
        else:
            state[f"{names[module]}.{part}"] = value
    ours.load_state_dict(state)


class OnDevice(torch.Tensor):
    """A tensor that counts as on a device without float64, such as Apple's MPS; `cpu` brings it back.

    What is computed from it is there, too. `x.as_subclass(OnDevice)` makes one.
    """

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        result = super().__torch_function__(function, types, args, kwargs or {})
        if function is torch.Tensor.cpu:
            return result.as_subclass(torch.Tensor)
        for x in tree_leaves(result):
            if isinstance(x, cls) and x.dtype == torch.float64:
                raise TypeError(f"{function.__name__}: this device has no float64")
        return result


class Largest(TorchDispatchMode):
    """The number of elements of the largest tensor that an operation makes."""

    elements = 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        results = operation(*args, **(kwargs or {}))
        sizes = [tensor.numel() for tensor in tree_leaves(results) if isinstance(tensor, torch.Tensor)]
        self.elements = max([self.elements, *sizes])
        return results
