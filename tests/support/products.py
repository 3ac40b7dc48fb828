"""Products of half precision without what hangs on the machine."""

import torch


def in_double(monkeypatch):
    """Have every linear layer compute in float64 and round once.

    A product of bfloat16 may round a row in another way when other rows stand beside it: that is the library's, and
    hides whether anything of ours hangs on the batch.
    """
    monkeypatch.setattr(
        torch.nn.functional,
        "linear",
        lambda states, weight, bias=None: (
            states.double() @ weight.double().t() + (0 if bias is None else bias.double())
        ).to(states.dtype),
    )
