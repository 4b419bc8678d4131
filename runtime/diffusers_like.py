"""The calls that diffusers users know, on a bundle: they change two lines.

    from denoisert.runtime.diffusers_like import Pipeline      # was: from diffusers import ...
    pipe = Pipeline.from_pretrained("emoji.bundle")            # was: a model folder

    pipe("red apple", num_inference_steps=20, guidance_scale=4.0, seed=7).images[0]

Everything else is the runtime's own: the noise of a seed, and the sampler that the card recommends
where nothing is said.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

import numpy as np

from denoisert.runtime.diffusers_scales import guidance_of
from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.events import Stepped
from denoisert.runtime.options import SLOTS
from denoisert.runtime.request import SEEDS, Condition, Request, Start
from denoisert.runtime.runtime import Runtime
from denoisert.runtime.sampler import Sampler

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

    from denoisert.runtime.bundle.card import Card
    from denoisert.runtime.result import Result
    from denoisert.runtime.sampling.solvers import Solver
    from denoisert.runtime.ticket import Ticket

    Pictures = list[Image] | NDArray[np.float32]

Callback = Callable[["Pipeline", int, float, dict[str, Any]], "dict[str, Any] | None"]

OUTPUTS = ("pil", "np", "latent")
STRENGTH = 0.8


class Options(TypedDict, total=False):
    """What a call may say; what is left out or None, the card recommends.

    Args:
        image: start from this picture or latent, as image-to-image does.
        mask_image: which part of `image` is painted anew: white where it is.
        strength: share of the steps that run from `image`, 0 to 1, default 0.8, with a mask 1.
        height: in pixels; the first compiled one when left out, as `width`.
        width: in pixels.
        num_inference_steps: N.
        guidance_scale: g; 1 and less means none, and is told to a network that takes a scale.
        true_cfg_scale: of a second branch beside the scale that a network is told, where there is a
            negative prompt.
        negative_prompt: for the uncond branch.
        num_images_per_prompt: pictures of each prompt, default 1.
        generator: a torch.Generator, of which the seed is taken.
        seed: 0 .. 2^64 - 1; without one or a generator it is drawn.
        solver: an object such as DPMpp2M(), in place of `pipe.scheduler`.
        output_type: "pil", "np" or "latent".
        callback_on_step_end: called as (pipe, step, model time, {}) in the caller's thread; with
            `pipe._interrupt = True` it ends the call with `Cancelled`.
    """

    image: Image | NDArray[np.floating] | NDArray[np.uint8] | None
    mask_image: Image | NDArray[Any] | None
    strength: float
    height: int | None
    width: int | None
    num_inference_steps: int | None
    guidance_scale: float | None
    true_cfg_scale: float | None
    negative_prompt: str | None
    num_images_per_prompt: int
    generator: object
    seed: int | None
    solver: Solver | None
    output_type: str
    callback_on_step_end: Callback | None


@dataclass(frozen=True, slots=True)
class Output:
    """What a call returns.

    Args:
        images: PIL images, or an array for output types "np" (n, H, W, C in [0, 1]) and "latent".
        seeds: of every prompt's request, to make the same again.
        results: of every prompt's request, with times and notes.
    """

    images: Pictures
    seeds: tuple[int, ...]
    results: tuple[Result, ...]


class Pipeline:
    """A bundle that is called like a diffusers pipeline.

    Args:
        runtime: an open one; the pipeline closes it.
    """

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self._interrupt = False

    @property
    def scheduler(self) -> Solver:
        """The card's solver; a call takes another as `solver=`."""
        return self.runtime.card.sampler.solver

    @scheduler.setter
    def scheduler(self, value: object) -> None:
        raise InvalidInput(
            f"pipe.scheduler = {value!r} would change nothing: a bundle's sampler belongs to each "
            "call. Pass it there: pipe(prompt, solver=DPMpp2M())."
        )

    @classmethod
    def from_pretrained(
        cls, path: str | Path, *, threads: int | None = None, slots: int = SLOTS
    ) -> Pipeline:
        """Open a bundle; for every other option make the pipeline of `Runtime.open(...)`.

        Args:
            path: the bundle's folder; `denoisert compile` makes one from a model folder.
            threads: of the engines; by default the cores this process may use.
            slots: pictures that run at the same time.

        Raises:
            BundleError: no bundle, or none that runs here.
        """
        return cls(Runtime.open(path, threads=threads, slots=slots))

    def __call__(
        self,
        prompt: str | int | Sequence[str | int] | None = None,
        **options: Unpack[Options],
    ) -> Output:
        """Make pictures.

        Args:
            prompt: one or several; prompt j gets the seed + j.
            options: see `Options`.

        Returns:
            Pictures, prompt after prompt, with their seeds.

        Raises:
            InvalidInput: something that the model cannot honour, or an unknown option.
            Cancelled: a callback interrupted the call.
        """
        output_type = options.get("output_type", OUTPUTS[0])
        unknown = sorted(options.keys() - Options.__annotations__.keys())
        if unknown:
            raise InvalidInput(
                f"options {', '.join(unknown)} are unknown here. Known options: "
                f"{', '.join(Options.__annotations__)}; a sampler is given as solver=DPMpp2M()."
            )
        if output_type not in OUTPUTS:
            raise InvalidInput(
                f"output_type {output_type!r} is unknown. Known types: {', '.join(OUTPUTS)}."
            )
        prompts = [prompt] if prompt is None or isinstance(prompt, str | int) else list(prompt)
        requests = _requests(prompts, options, self.runtime.card)
        results = self._run(requests, options.get("callback_on_step_end"))
        seeds = tuple(request.seed for request in requests)
        return Output(_pictures(results, output_type), seeds, tuple(results))

    def _run(self, requests: list[Request], callback: Callback | None) -> list[Result]:
        if callback is None:
            results = self.runtime.generate(requests)
            for result in results:
                if result.error is not None:
                    raise result.error
            return results
        tickets: list[Ticket] = []
        try:
            tickets += [self.runtime.submit(request) for request in requests]
            self._follow(tickets, requests[0], callback)
            return [ticket.result() for ticket in tickets]
        finally:
            for ticket in tickets:
                ticket.cancel()  # harmless where it has ended

    def _follow(self, tickets: list[Ticket], request: Request, callback: Callback) -> None:
        """Tell the callback every step of the first picture; the others run beside it.

        A slow callback hears of a step late, but of each one.
        """
        self._interrupt = False
        card = self.runtime.card
        times = Sampler.of(request, card).grid(card).model_time
        told = 0
        for event in tickets[0].events():
            if isinstance(event, Stepped) and event.image == 0:
                for index in range(told, event.step):
                    self._tell(callback, index, float(times[index]))
                told = event.step
            if self._interrupt:
                for ticket in tickets:
                    ticket.cancel()

    def _tell(self, callback: Callback, index: int, time: float) -> None:
        if not self._interrupt and callback(self, index, time, {}):
            raise InvalidInput(
                "the callback returned values to change; a bundle's steps cannot be changed from "
                "outside. Return None or {}."
            )

    def close(self) -> None:
        """Close the runtime; twice is harmless."""
        self.runtime.close()

    def __enter__(self) -> Pipeline:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _requests(prompts: Sequence[Any], options: Options, card: Card) -> list[Request]:
    """One request per prompt."""
    first = _seed(options.get("generator"), options.get("seed"))
    second = None if options.get("negative_prompt") is None else options.get("true_cfg_scale")
    guidance = guidance_of(options.get("guidance_scale"), second, card)
    return [
        Request(
            Condition(prompt, options.get("negative_prompt")),
            seed=(first + number) % SEEDS if number else first,
            images=options.get("num_images_per_prompt", 1),
            size=_size(options.get("height"), options.get("width")),
            steps=options.get("num_inference_steps"),
            solver=options.get("solver"),
            guidance=guidance,
            start=_start(options),
        )
        for number, prompt in enumerate(prompts)
    ]


def _start(options: Options) -> Start | None:
    image, mask = options.get("image"), options.get("mask_image")
    if image is None and mask is None:
        return None
    strength = options.get("strength", STRENGTH if mask is None else None)
    return Start(image, strength, mask=mask)


def _seed(generator: object, seed: int | None) -> int:
    if generator is None:
        return secrets.randbits(64) if seed is None else seed
    if seed is not None:
        raise InvalidInput("both generator and seed are given; pass one of them.")
    read = getattr(generator, "initial_seed", None)
    if read is None:
        raise InvalidInput(
            f"generator {type(generator).__name__} has no initial_seed(). Pass one torch.Generator "
            "or seed=; for a seed of its own per picture call once for each."
        )
    return int(read()) % SEEDS


def _size(height: int | None, width: int | None) -> tuple[int, int] | None:
    if height is None and width is None:
        return None
    if height is None or width is None:
        raise InvalidInput(f"height {height} and width {width}: pass both or neither.")
    return height, width


def _pictures(results: Sequence[Result], output_type: str) -> Pictures:
    if output_type == "pil":
        return [image for result in results for image in result.images]
    if output_type == "np":
        pixels = [np.asarray(image) for result in results for image in result.images]
        return np.stack(pixels).astype(np.float32) / 255.0
    first = [next(iter(result.latents.values())) for result in results]
    return np.concatenate(first)
