"""Bundles of the model folders, compiled once a run at both sizes, and how they are compared."""

import numpy as np

from denoisert.export import CompileOptions, compile_bundle
from denoisert.export.parity import relative_error
from denoisert.export.targets.session import open_graph
from denoisert.runtime import Torch
from denoisert.runtime.bundle.condition import Source
from denoisert.runtime.bundle.open import Bundle
from denoisert.runtime.bundle.sizes import conditions_at, pixel_size
from denoisert.runtime.conditioner import CONDITIONER
from tests.export.families.folders import FAMILIES, family_folder

LATENT = 1e-3
PIXELS = 2

ENGINES = {"onnxruntime": "cpu", "torch": Torch("cpu")}
"""Engine -> its device on the CPU."""


def family_bundle(once, name):
    """The bundle of a family that all tests of a run share. Copy it to change it."""
    folder = family_folder(once, name)
    options = CompileOptions(sizes=FAMILIES[name].sizes)

    def make(draft):
        compile_bundle(folder, draft / "bundle", options=options)

    return once(f"bundle-{name}", make) / "bundle"


def assert_equal(found, theirs):
    """A result of the runtime and diffusers' pictures."""
    latents = next(iter(found.latents.values()))
    assert latents.shape == theirs.latents.shape
    assert relative_error(latents, theirs.latents) <= LATENT
    pixels = np.stack([np.asarray(image) for image in found.images]).astype(int)
    assert np.abs(pixels - theirs.pixels).max() <= PIXELS
    assert theirs.pixels.std() > 5  # a grey picture would prove nothing


def difference(one, other):
    """Of two results, relative."""
    return relative_error(other.flat, one.flat)


def changes(path, layout=0):
    """Denoiser input -> by how much the compiled graph's answer changes when it is permuted.

    Args:
        path: of a bundle.
        layout: number of the card's layout.
    """
    bundle = Bundle.open(path)
    run, parts = _denoiser(bundle), [part.name for part in bundle.card.layout.parts]
    given = _inputs(bundle.card, bundle.card.layouts[layout])
    (answer,) = run(given).values()
    found = {}
    for name in given.keys() - set(parts):
        (other,) = run(given | {name: _permuted(given[name])}).values()
        found[name] = relative_error(other, answer)
    return found


def _denoiser(bundle):
    """From what the card names to the prediction, through the conditioner where there is one."""
    graphs = bundle.manifest.engines["onnxruntime"].graphs
    run = _opened(bundle, graphs["denoiser"])
    if CONDITIONER not in graphs:
        return run
    tell = _opened(bundle, graphs[CONDITIONER])

    def both(given):
        made = tell({port.name: given[port.name] for port in graphs[CONDITIONER].inputs})
        fed = given | made
        return run({port.name: fed[port.name] for port in graphs["denoiser"].inputs})

    return both


def _opened(bundle, entry):
    graph = bundle.verified(entry.path).read_bytes()
    return open_graph(graph, bundle.root, entry.path)


def _inputs(card, layout):
    """Two lanes: sizes as they are told, everything else random."""
    generator = np.random.default_rng(4)
    size = pixel_size(card, layout)
    given = {
        part.name: generator.standard_normal((2, *part.shape)).astype(np.float32)
        for part in layout.parts
    }
    late = min(601.0, card.training.schedule.first)
    given[card.network.time] = np.array([late, late / 3]).astype(card.network.time_dtype)
    for name in card.network.scalars:
        given[name] = np.array([3.5, 1.5], np.float32)
    for entry in conditions_at(card, layout):
        if entry.source is Source.SIZES:
            value = np.array([[measure.of(*size) for measure in entry.measures]] * 2)
        elif entry.source is Source.CLASS_LABEL:
            value = np.array([0, entry.classes - 1])
        else:
            value = generator.standard_normal((2, *entry.shape))
        if entry.encoder and len(entry.shape) == 2:
            value[:, entry.shape[0] // 2 :] = value[:, -1:]  # padding, whose states are alike
        given[entry.name] = value.astype(entry.dtype)
    return given


def _permuted(value):
    """The values of each lane in another order; of the time, one number a lane, the lanes."""
    return np.roll(value.reshape(2, -1), 1, axis=1 if value.ndim > 1 else 0).reshape(value.shape)
