"""What is refused of a size before any work, and what its pool costs."""

import numpy as np
import pytest

from denoisert.runtime import Request, Runtime, Start
from denoisert.runtime.devices.numpy import NumpyDevice
from denoisert.runtime.diffusers_like import Pipeline
from denoisert.runtime.errors import (
    InvalidInput,
    OutOfMemory,
    OutOfProfile,
)
from tests.runtime.sized import (
    SIZES,
    layouts,
)
from tests.runtime.threads.sized_requests import MANY, PIXELS, same


def test_a_third_size_is_refused_and_those_that_are_compiled_are_named(both):
    with Runtime.open(both, threads=1) as runtime:
        with pytest.raises(OutOfProfile, match=r"size 8x8 asked for.*for 12x8 and 8x16") as caught:
            runtime.submit(Request(1, size=(8, 8)))
        assert "Take 12x8, the nearest" in str(caught.value)
        with pytest.raises(OutOfProfile, match="12x8 and 8x16"):
            runtime.generate([MANY[0], Request(1, size=PIXELS[0][::-1])])
        assert runtime.stats()["requests_submitted"] == 0


def test_a_start_belongs_to_the_size_of_its_request(both, alone):
    pictures = [np.full((*size, 3), 90, np.uint8) for size in PIXELS]
    requests = [
        Request(1, seed=5, size=size, start=Start(picture, 0.5))
        for size, picture in zip(PIXELS, pictures, strict=True)
    ]
    latent = np.random.default_rng(2).standard_normal((4, *SIZES[1])).astype(np.float32)
    requests.append(Request(1, seed=5, size=PIXELS[1], start=Start(latent, 0.5)))
    with Runtime.open(both, threads=1) as runtime:
        for request, result in zip(requests, runtime.generate(requests), strict=True):
            assert same(result, alone(request))
        with pytest.raises(InvalidInput, match=r"the picture is uint8 \(8, 16, 3\)") as caught:
            runtime.submit(Request(1, start=Start(pictures[1], 0.5)))
        assert "Or ask for another size: the bundle has 12x8 and 8x16." in str(caught.value)
        with pytest.raises(InvalidInput, match=r"latent has shape \(4, 4, 8\)"):
            runtime.submit(Request(1, start=Start(latent, 0.5)))


def test_height_and_width_of_a_pipeline_pick_the_size(both, alone):
    with Pipeline.from_pretrained(both, threads=1) as pipe:
        (plain,) = pipe(3, num_inference_steps=2, seed=5).images
        (picture,) = pipe(3, num_inference_steps=2, seed=5, height=8, width=16).images
        with pytest.raises(OutOfProfile, match="12x8 and 8x16"):
            pipe(3, height=16, width=16)
    assert (plain.size, picture.size) == ((8, 12), (16, 8))
    wanted = alone(Request(3, seed=5, steps=2, size=PIXELS[1]))
    assert np.array_equal(np.asarray(picture), wanted.pixels[0])


def test_plans_know_what_a_size_costs(both):
    with Runtime.open(both, threads=1) as runtime:
        small, large = (runtime.plan(Request(1, size=size)) for size in PIXELS)
        assert large.memory_bytes > small.memory_bytes
        assert runtime.plan(Request(1)).memory_bytes == small.memory_bytes
        pixels = [runtime._intake.planner.plan(Request(1, size=size)) for size in PIXELS]
        assert [each.pixel_bytes for each in pixels] == [3 * 12 * 8, 3 * 8 * 16]


def test_memory_of_every_pool_is_counted(both):
    with Runtime.open(both, threads=1) as runtime:
        pools = [runtime._intake.planner.plan(Request(1, size=size)).pool_bytes for size in PIXELS]
    bound = sum(pools) - 1
    with Runtime.open(both, threads=1, memory_bytes=bound) as runtime:
        requests = [Request(1, size=size) for size in PIXELS]
        for request in requests:
            assert runtime.plan(request).memory_bytes < bound
        with pytest.raises(OutOfMemory, match="pools of other sizes"):
            runtime.generate(requests)
        assert runtime.stats()["requests_submitted"] == 0
        runtime.generate(requests[0])
        with pytest.raises(OutOfMemory, match=f"with the {pools[0]} of the pools of other sizes"):
            runtime.submit(requests[1])
        runtime.generate(requests[0])
        with pytest.raises(OutOfMemory, match="pools of all 2 sizes"):
            runtime.warm()
    room = 10 * sum(pools)
    with Runtime.open(both, threads=1, memory_bytes=room) as runtime:
        runtime.generate(requests)


def test_a_pool_that_finds_no_memory_ends_its_request_alone(both, monkeypatch):
    taken = NumpyDevice.memory

    def memory(self, layout, *rest, **options):
        if layout == layouts(SIZES[1])[0]:
            raise MemoryError("no more")
        return taken(self, layout, *rest, **options)

    monkeypatch.setattr(NumpyDevice, "memory", memory)
    with Runtime.open(both, threads=1) as runtime:
        with pytest.raises(OutOfMemory, match=r"shape \(4, 4, 8\) found no memory .*\(no more\)"):
            runtime.generate(MANY[1])
        assert len(runtime.generate(MANY[0]).flat) == 1
        monkeypatch.undo()
        assert len(runtime.generate(MANY[1]).flat) == 3
