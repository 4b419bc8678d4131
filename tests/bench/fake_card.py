"""A card that is none: streams, events and graphs of CUDA by name, to run code that wants one."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from itertools import count

import torch
from torch.overrides import TorchFunctionMode

TICK_MS = 0.01


class OnCpu(TorchFunctionMode):
    """Whatever asks for "cuda" gets the CPU."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        def host(value):
            return "cpu" if isinstance(value, str) and value == "cuda" else value

        kwargs = {name: host(value) for name, value in (kwargs or {}).items()}
        return func(*map(host, args), **kwargs)


class Stream:
    """Order is that of the calls."""

    def wait_stream(self, other):
        assert isinstance(other, Stream)


class Graph:
    """Runs what it has captured again."""

    def __init__(self):
        self.replays = 0

    def replay(self):
        self.replays += 1


class Event:
    """Time goes on by TICK_MS with every event."""

    clock = count()

    def __init__(self, enable_timing=False):
        assert enable_timing

    def record(self):
        self.at = next(self.clock)

    def synchronize(self):
        assert self.at >= 0

    def elapsed_time(self, later):
        return TICK_MS * (later.at - self.at)


@contextmanager
def fake_card(monkeypatch):
    """CUDA by name, on the CPU."""
    fakes = {
        "Stream": Stream,
        "current_stream": Stream,
        "stream": lambda stream: nullcontext(),
        "CUDAGraph": Graph,
        "graph": lambda graph: nullcontext(),
        "Event": Event,
        "_sleep": lambda cycles: None,
        "synchronize": lambda: None,
        "empty_cache": lambda: None,
        "is_available": lambda: True,
    }
    for name, fake in fakes.items():
        monkeypatch.setattr(torch.cuda, name, fake)
    with OnCpu():
        yield
