"""What a pipeline tells its network, and by how much each of it changes the answer."""

from dataclasses import dataclass, field

import torch

STATES = ("sample", "hidden_states")
"""Names of the noisy state."""


@dataclass
class Call:
    """One call of a network as its pipeline makes it.

    Args:
        network: the network.
        tensors: name -> tensor; a tensor in a mapping is named "outer.inner".
        rest: everything else that the call passes.
    """

    network: torch.nn.Module
    tensors: dict
    rest: dict = field(default_factory=dict)

    def answer(self, **changed):
        """The network's output, with some tensors replaced."""
        tensors = self.tensors | changed
        arguments = {name: value for name, value in tensors.items() if "." not in name}
        for name, value in self.rest.items():
            if isinstance(value, dict):
                value = {key: tensors.get(f"{name}.{key}", value[key]) for key in value}
            arguments[name] = value
        with torch.no_grad():
            return self.network(**arguments)[0]

    def change(self, name):
        """max |difference| / max |answer| when one tensor is changed."""
        answer = self.answer()
        other = self.answer(**{name: changed(self.tensors[name])})
        return float((other - answer).abs().max() / answer.abs().max())

    @property
    def conditions(self):
        """Names of all tensors except the state."""
        return [name for name in self.tensors if name not in STATES]


class Stop(Exception):
    """The call is recorded; the rest of the pipeline is not needed."""


def first_call(pipeline, run):
    """The first call of a pipeline's network.

    Args:
        pipeline: open, with a "unet" or a "transformer".
        run: runs the pipeline.
    """
    network = getattr(pipeline, "unet", None) or pipeline.transformer
    found = []

    def record(_, given, named):
        found.append(_call(network, given, named))
        raise Stop

    hook = network.register_forward_pre_hook(record, with_kwargs=True)
    try:
        run()
    except Stop:
        return found[0]
    finally:
        hook.remove()
    raise AssertionError("the pipeline never called its network")


def _call(network, given, named):
    names = list(type(network).forward.__annotations__)
    arguments = dict(zip(names, given, strict=False)) | named
    tensors = {name: value for name, value in arguments.items() if torch.is_tensor(value)}
    rest = {name: value for name, value in arguments.items() if name not in tensors}
    for name, value in rest.items():
        if isinstance(value, dict):
            tensors |= {f"{name}.{key}": one for key, one in value.items() if torch.is_tensor(one)}
    return Call(network, tensors, rest)


def changed(value):
    """A tensor permuted within each row, or another one where a row has one element."""
    if value.ndim > 1 and value[0].numel() > 1:
        return value.flip(list(range(1, value.ndim))) if value.ndim > 2 else value.roll(1, dims=1)
    return value // 2 if not value.is_floating_point() else value / 2
