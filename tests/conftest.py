"""Tiny models are fastest on one thread: two only wait for each other, all the more where tests share the machine."""

import torch

torch.set_num_threads(1)
