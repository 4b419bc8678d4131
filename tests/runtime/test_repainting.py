"""Pictures that are partly painted anew, from the request to the last bit, by both ways."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from denoisert.kernels.philox import reference as philox
from denoisert.runtime import (
    CFG,
    DDIM,
    Condition,
    DPMpp2M,
    FlowEuler,
    Inpainted,
    KnownNoise,
    Request,
    Runtime,
    Start,
)
from denoisert.runtime.bundle.card import Recommended
from denoisert.runtime.engines.target import Torch
from denoisert.runtime.errors import Incompatible, InvalidInput
from denoisert.runtime.sampler import Sampler, compile_table
from denoisert.runtime.sampling.oracle import execute
from denoisert.runtime.sampling.schedules import Trailing
from tests.runtime.coders import FACTOR
from tests.runtime.repainting import (
    TILE,
    latent_of,
    repainting_bundle,
    repainting_card,
    twin,
    values_of,
)
from tests.runtime.sized import SIZES, coder, layouts, network, sized_bundle, sized_card
from tests.runtime.spies import bound, error

ADVICE = Recommended(FlowEuler(), Trailing(), 4, CFG(2.0))
SEED = 2**63 + 5
(HEIGHT, WIDTH), OTHER = [(h * FACTOR, w * FACTOR) for h, w in SIZES]
CARD = repainting_card(*SIZES, sampler=ADVICE)


def drawn(size=(HEIGHT, WIDTH), seed=0):
    """A picture, and a mask that paints its right half and a pixel that no latent sees."""
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    mask = np.zeros(size, bool)
    mask[:, size[1] // 2 :] = True
    mask[1, 1] = True
    return pixels, mask


PIXELS, MASK = drawn()
KEPT = ~MASK[::FACTOR, ::FACTOR]


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """A network that is shown mask and picture."""
    with Runtime.open(repainting_bundle(tmp_path_factory.mktemp("shown"), CARD)) as runtime:
        yield runtime


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """A network that knows of no mask."""
    card = sized_card(*SIZES, coder=coder(TILE), sampler=ADVICE)
    with Runtime.open(sized_bundle(tmp_path_factory.mktemp("plain"), card)) as runtime:
        yield runtime


def wanted(request, size=(HEIGHT, WIDTH), extent=None):
    """The float64 reference of a request to the network that is shown everything."""
    layout = dict(zip(((HEIGHT, WIDTH), OTHER), layouts(*SIZES), strict=True))[size]
    table = compile_table(Sampler.of(request, CARD), CARD)
    pixels, mask = request.start.latent, request.start.mask
    network = twin(layout, pixels, mask, SEED, extent or size)
    noise = [
        philox.normals(SEED, draw=draw, image=0, count=layout.elements).astype(np.float64)
        for draw in range(int(table.draws.sum()))
    ]
    source = {"source": latent_of(values_of(pixels), SEED).reshape(-1)}
    found = execute(table, layout, network, noise, source)
    return found.latent, bound(table)


@pytest.mark.parametrize("strength", [None, 0.5])
@pytest.mark.parametrize("size", [(HEIGHT, WIDTH), OTHER])
def test_a_network_that_repaints_is_shown_all_of_it(shown, size, strength):
    """Mask, masked picture and size, at both sizes, as the reference has them."""
    pixels, mask = drawn(size)
    request = Request(3, seed=SEED, size=size, start=Start(pixels, strength, mask=mask))
    latent, tolerance = wanted(request, size)
    assert error(shown.generate(request).flat[0], latent) <= tolerance


def test_torch_shows_it_too(shown):
    request = Request(3, seed=SEED, start=Start(PIXELS, mask=MASK))
    latent, tolerance = wanted(request)
    with Runtime.open(shown._bundle.root, devices=(Torch("cpu"),), threads=1) as runtime:
        assert error(runtime.generate(request).flat[0], latent) <= tolerance


def test_what_is_hidden_is_not_seen_and_the_rest_is(shown):
    """Bit for bit; the pixel of the mask that no latent position sees hides its colour, too."""

    def run(pixels, mask=MASK):
        return shown.generate(Request(3, seed=1, start=Start(pixels, mask=mask))).flat

    found, other = run(PIXELS), drawn(seed=9)[0]
    np.testing.assert_array_equal(run(np.where(MASK[..., None], other, PIXELS)), found)
    np.testing.assert_array_equal(run(Image.fromarray(PIXELS), Image.fromarray(MASK)), found)
    assert error(run(np.where(MASK[..., None], PIXELS, other)), found) > 0.1
    assert error(run(PIXELS, ~MASK), found) > 0.1


def test_all_pictures_of_a_request_are_shown_the_same(shown):
    start = Start(PIXELS, mask=MASK)
    both = shown.generate(Request(3, seed=SEED, images=2, start=start)).flat
    one = shown.generate(Request(3, seed=SEED, start=start)).flat
    np.testing.assert_array_equal(both[0], one[0])
    assert error(both[1], both[0]) > 0.1


@pytest.mark.parametrize("size", [(HEIGHT, WIDTH), OTHER])
def test_without_a_mask_all_of_it_is_painted(shown, size):
    """From noise, or from a picture that the network is not shown."""
    pixels, white = drawn(size)[0], np.ones(size, bool)

    def run(start):
        return shown.generate(Request(3, seed=SEED, size=size, images=2, start=start)).flat

    nothing = run(None)
    np.testing.assert_array_equal(run(Start(pixels, mask=white)), nothing)
    half = run(Start(pixels))
    np.testing.assert_array_equal(run(Start(pixels, 0.5, mask=white)), half)
    assert error(half, nothing) > 0.1
    assert error(run(Start(pixels, mask=drawn(size)[1])), nothing) > 0.1


def test_sizes_follow_the_condition_where_it_says_so(shown):
    start = Start(PIXELS, mask=MASK)
    said = Condition({"label": 3, "height": 30, "width": 5})
    request = Request(said, seed=SEED, start=start)
    latent, tolerance = wanted(request, extent=(30, 5))
    found = shown.generate(request).flat[0]
    assert error(found, latent) <= tolerance
    assert error(found, shown.generate(Request(3, seed=SEED, start=start)).flat[0]) > 0.1


@pytest.mark.parametrize(
    ("start", "words"),
    [
        (Start(np.zeros((4, *SIZES[0]))), r"shown both\. Pass start=Start\(picture, mask=mask\)"),
        (Start(PIXELS, mask=MASK[:-1]), rf"needs one value for each pixel, {HEIGHT}x{WIDTH} "),
        (Start(PIXELS, mask=MASK[::FACTOR, ::FACTOR]), "one value for each pixel"),
        (Start(PIXELS, mask=MASK * 7.0), "outside 0 to 1"),
        (Start(np.zeros((4, *SIZES[0])), mask=MASK), "the request gives a latent"),
        (Start(drawn(OTHER)[0], mask=MASK), "the picture is uint8"),
    ],
    ids=["no mask", "a row less", "latent size", "values", "latent", "picture"],
)
def test_requests_that_show_too_little_are_refused_before_any_work(shown, start, words):
    ticks = shown.stats()["ticks"]
    with pytest.raises(InvalidInput, match=words):
        shown.generate(Request(3, start=start))
    assert shown.stats()["ticks"] == ticks


@pytest.mark.parametrize(
    "solver", [None, DPMpp2M(), DDIM(1.0), Inpainted(FlowEuler(), KnownNoise.FRESH)], ids=repr
)
@pytest.mark.parametrize("strength", [None, 0.5])
def test_any_network_keeps_the_latent_of_what_is_kept(plain, solver, strength):
    """Bit for bit that of the encoder, each picture its own; the rest is no copy."""
    start = Start(PIXELS, strength, mask=MASK)
    request = Request(3, seed=SEED, images=2, solver=solver, start=start)
    found = plain.generate(request).latents["latent"]
    copied = plain.generate(replace(request, start=Start(PIXELS, 0.0))).latents["latent"]
    np.testing.assert_array_equal(found[..., KEPT], copied[..., KEPT])
    assert np.abs(found - copied)[..., ~KEPT].min() > 0
    assert error(found[0], found[1]) > 0.1
    for image in range(2):
        latent = latent_of(values_of(PIXELS), SEED, image)
        assert error(copied[image], latent) < 1e-5


def test_it_is_the_inpainted_solver_s_table(plain):
    """Through the runtime as by the reference, with the latent that the encoder draws."""
    start = Start(PIXELS, mask=MASK)
    request = Request(3, seed=SEED, start=start, guidance=CFG(1.0))
    table = compile_table(Sampler.of(request, plain.card), plain.card)
    layout = plain.card.layout
    mask = np.broadcast_to(1.0 - KEPT, layout.parts[0].shape).reshape(-1)
    source = latent_of(values_of(PIXELS), SEED).reshape(-1)
    noise = [philox.normals(SEED, draw=0, image=0, count=layout.elements).astype(np.float64)]
    toy = network(layout)
    buffers = {"source": source, "mask": mask, "kept": 1 - mask}
    answer = execute(table, layout, lambda x, t, _: toy.answer(x, t, 3), noise, buffers)
    assert error(plain.generate(request).flat[0], answer.latent) <= bound(table)


def test_a_latent_may_be_kept_in_part_with_a_mask_of_either_size(plain):
    latent = np.random.default_rng(4).standard_normal((4, *SIZES[0])).astype(np.float32)
    found = [
        plain.generate(Request(3, seed=2, start=Start(latent, mask=mask))).latents["latent"][0]
        for mask in (MASK, ~KEPT)
    ]
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0][:, KEPT], latent[:, KEPT])


def test_strength_0_is_the_autoencoder_s_reconstruction(plain):
    """No evaluation: the decoder's picture of the encoder's latent, at both sizes."""
    for size in ((HEIGHT, WIDTH), OTHER):
        pixels, _ = drawn(size)
        request = Request(3, seed=SEED, size=size, start=Start(pixels, 0.0))
        result = plain.submit(request, previews=1).result()
        assert result.nfe == 0
        latent = latent_of(values_of(pixels), SEED)
        assert error(result.latents["latent"][0], latent) < 1e-5
        ticket = plain.generate(
            Request(3, start=Start(result.latents["latent"][0], 0.0), size=size)
        )
        np.testing.assert_array_equal(ticket.pixels, result.pixels)
        assert result.pixels.shape == (1, *size, 3)


def test_a_bundle_that_shows_a_mask_without_its_picture(tmp_path):
    card = replace(CARD, conditions=tuple(e for e in CARD.conditions if e.name != "masked"))
    path = sized_bundle(tmp_path, card)
    with pytest.raises(Incompatible, match="'hole'"):
        Runtime.open(path)
