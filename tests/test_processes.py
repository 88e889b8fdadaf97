"""What processes share, on the one that a test is; test_training.py trains on two."""

import pytest
import torch

from course_lib.processes import Processes, mean


def test_alone_the_mean_is_torchs():
    losses = torch.randn(7, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(mean(losses), losses.mean(), rtol=0, atol=1e-15)
    mean(losses).backward()
    torch.testing.assert_close(losses.grad, torch.full((7,), 1 / 7, dtype=torch.float64), rtol=0, atol=1e-15)


def test_the_mean_of_nothing_is_0_and_so_is_its_gradient():
    x = torch.ones(3, requires_grad=True)
    loss = mean(x[x > 2])
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(x.grad, torch.zeros(3))


def test_alone_the_loss_is_that_of_the_whole_batch():
    processes = Processes(torch.device("cpu"))
    assert (processes.rank, processes.count) == (0, 1)
    batch = {"x": torch.arange(5.0), "y": [torch.arange(3.0)], "name": "a"}
    seen = []

    def loss(model, batch):
        seen.append(batch)
        return batch["x"]

    assert processes.part_of_loss(loss, torch.nn.Identity(), batch).item() == 2.0
    assert torch.equal(seen[0]["x"], batch["x"])
    assert torch.equal(seen[0]["y"][0], batch["y"][0])
    assert seen[0]["name"] == "a"


@pytest.mark.parametrize(
    ("lengths", "text"),
    [
        ((5, 3), r"^several processes need tensors with one row per example; got \[5, 3\] rows$"),
        ((1, 1), r"^a batch of 1 rows is too small for 2 process\(es\)$"),
    ],
)
def test_batches_that_two_processes_cannot_share(own_errors, lengths, text):
    processes = Processes(torch.device("cpu"))
    processes.count = 2
    with pytest.raises(ValueError, match=text):
        processes.part_of_loss(
            lambda model, batch: batch[0], torch.nn.Identity(), [torch.ones(n) for n in lengths]
        )


def test_rows_are_shared_in_order_and_what_has_none_is_given_to_all():
    processes = Processes(torch.device("cpu"))
    processes.count = 2
    parts = []
    for processes.rank in (0, 1):
        loss = processes.part_of_loss(
            lambda model, batch: (parts.append(batch), batch[0].mean())[1],
            torch.nn.Identity(),
            [torch.arange(5.0), torch.tensor(7.0)],
        )
        parts.append(loss.item())
    first, first_loss, second, second_loss = parts
    assert [x.tolist() for x in first] == [[0, 1, 2], 7]
    assert [x.tolist() for x in second] == [[3, 4], 7]
    assert first_loss + second_loss == pytest.approx(2.0)  # the mean over all rows
