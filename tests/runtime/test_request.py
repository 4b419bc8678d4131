"""A request checks itself when it is made."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from denoisert.runtime import (
    CFG,
    Condition,
    Euler,
    Limits,
    Noised,
    Request,
    Start,
    Trailing,
    Unguided,
)
from denoisert.runtime.errors import DenoiseRTError, InvalidInput


def test_the_example_of_the_readme() -> None:
    request = Request(3, seed=7, steps=20, solver=Euler(), guidance=CFG(2.0))
    assert repr(request).startswith("Request(condition=3, seed=7, images=1")
    assert request.told == Condition(3)


def test_a_condition_in_its_long_form_stays_as_it_is() -> None:
    told = Condition(3, negative=4)
    assert Request(told).told is told


@pytest.mark.parametrize("seed", [0, 1, 2**63, 2**64 - 1, np.int64(5)])
def test_seeds_of_64_bits(seed: int) -> None:
    assert Request(seed=seed).seed == seed


@pytest.mark.parametrize("seed", [-1, 2**64, 1.0, "7", None, True, np.nan])
def test_other_seeds_are_refused(seed: object) -> None:
    with pytest.raises(InvalidInput, match="seed"):
        Request(seed=seed)  # type: ignore[arg-type]


@pytest.mark.parametrize("steps", [0, -5, 10**9, 1001, 2.5, "20", True])
def test_steps_outside_1_to_1000(steps: object) -> None:
    with pytest.raises(InvalidInput, match="steps"):
        Request(steps=steps)  # type: ignore[arg-type]


@pytest.mark.parametrize("images", [0, -1, 1025, 1.0])
def test_images_outside_1_to_1024(images: object) -> None:
    with pytest.raises(InvalidInput, match="images"):
        Request(images=images)  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [(16,), (16, 16, 3), (0, 16), (16, -1), (1.5, 2), "16x16", 16])
def test_sizes_are_two_whole_numbers(size: object) -> None:
    with pytest.raises(InvalidInput, match=r"size|height|width"):
        Request(size=size)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("solver", "euler"),
        ("solver", Euler),
        ("solver", CFG(2.0)),
        ("schedule", "karras"),
        ("schedule", Trailing),
        ("guidance", 4.0),
        ("guidance", "cfg"),
        ("guidance", Unguided),
        ("start", np.zeros(4)),
        ("limits", 10),
        ("limits", None),
    ],
)
def test_objects_not_names_nor_classes(field: str, value: object) -> None:
    with pytest.raises(InvalidInput, match=field):
        Request(3, **{field: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("scale", [np.nan, np.inf, -np.inf, (1.0, np.nan), ()])
def test_guidance_scales_are_finite(scale: float) -> None:
    with pytest.raises(InvalidInput, match="guidance scale"):
        CFG(scale)


@pytest.mark.parametrize("strength", [-0.1, 1.01, np.nan])
def test_start_strength_is_a_share(strength: float) -> None:
    with pytest.raises(InvalidInput, match="strength"):
        Start(np.zeros(4), strength)


@pytest.mark.parametrize("memory_bytes", [-1, 1.5, "1 GB", True])
def test_memory_limits_are_bytes(memory_bytes: object) -> None:
    with pytest.raises(InvalidInput, match="memory_bytes"):
        Limits(memory_bytes=memory_bytes)  # type: ignore[arg-type]


@pytest.mark.parametrize("deadline_s", [1e-3, 1, 10**6, np.float32(2.5), None])
def test_deadlines_in_seconds(deadline_s: float | None) -> None:
    assert Limits(deadline_s=deadline_s).deadline_s == deadline_s


@pytest.mark.parametrize("deadline_s", [0, -1, 0.0, np.nan, np.inf, 10**6 + 1, "5", True, 10**400])
def test_other_deadlines_are_refused(deadline_s: object) -> None:
    with pytest.raises(InvalidInput, match="deadline_s"):
        Limits(deadline_s=deadline_s)  # type: ignore[arg-type]


@pytest.mark.parametrize("priority", [-1000, 0, 1000, np.int64(3)])
def test_priorities_are_whole_numbers(priority: int) -> None:
    assert Limits(priority=priority).priority == priority
    assert Limits().priority == 0


@pytest.mark.parametrize("priority", [-1001, 1001, 0.5, None, "high", True])
def test_other_priorities_are_refused(priority: object) -> None:
    with pytest.raises(InvalidInput, match="priority"):
        Limits(priority=priority)  # type: ignore[arg-type]


def test_prompts_have_a_ceiling() -> None:
    assert Request("x" * 10**6).condition == "x" * 10**6
    long = "x" * (10**6 + 1)
    for build in (
        lambda: Request(long),
        lambda: Request({"text_encoder": long}),
        lambda: Condition("short", negative=long),
        lambda: Condition("short", negative={"text_encoder": long}),
    ):
        with pytest.raises(InvalidInput, match="1000001 characters") as caught:
            build()
        assert len(str(caught.value)) < 100


@pytest.mark.parametrize(
    ("value", "is_picture"),
    [
        (np.zeros((8, 8, 3), np.uint8), True),
        (Image.new("RGB", (8, 8)), True),
        (np.zeros((8, 8, 3), np.float32), False),
        (np.zeros((3, 8, 8), np.uint8), False),
        (np.zeros((8, 8), np.uint8), False),
        ([[1.0, 2.0]], False),
    ],
    ids=["uint8", "PIL", "float", "channels first", "grey", "lists"],
)
def test_a_start_knows_a_picture_from_a_latent(value: object, is_picture: bool) -> None:
    assert (Start(value).picture is not None) == is_picture  # type: ignore[arg-type]


def test_half_the_steps_from_a_clean_latent_and_all_of_them_otherwise() -> None:
    pages = {"second": np.zeros((1, 4)), "a": np.zeros(4)}
    assert (Start(np.zeros(4)).share, Start(np.zeros(4), 0.25).share) == (0.5, 0.25)
    assert (Start(buffers=pages).share, Start(None, 0.25, pages).share) == (None, 0.25)
    assert Start(np.zeros(4), buffers=pages).given == ("source", "a", "second")
    assert Start(buffers=pages).given == ("a", "second")
    assert Start(buffers=pages).picture is None
    assert Start(np.zeros(4), noised=Noised.ALREADY).share == 1.0
    assert Start(np.zeros(4), 0.3, noised=Noised.ALREADY).share == 0.3


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "a start of nothing"),
        ({"buffers": {}}, "a start of nothing"),
        ({"strength": 0.5}, "a start of nothing"),
        ({"strength": True, "latent": np.zeros(4), "noised": "already"}, r"give Noised\.HERE"),
        ({"buffers": {"recorded": np.zeros(4)}, "noised": Noised.ALREADY}, "said of a latent"),
        ({"buffers": np.zeros(4)}, "buffers ndarray is no mapping from names"),
        ({"buffers": {3: np.zeros(4)}}, "no mapping from names"),
        ({"buffers": {"source": np.zeros(4)}}, r"the source is the latent: Start\(latent\)"),
        ({"buffers": None}, "buffers NoneType"),
        ({"buffers": {"a": np.zeros(4)}, "strength": 0.0}, "strength 0 gives back a latent"),
        ({"buffers": {"mask": np.zeros(4)}}, "mask and kept follow from Start"),
        ({"latent": np.zeros(4), "strength": "1"}, "strength 1 is outside"),
    ],
    ids=str,
)
def test_a_start_of_nothing_or_of_strange_things_is_refused(
    fields: dict[str, object], message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        Start(**fields)  # type: ignore[arg-type]


def test_how_a_latent_is_noised_reads_like_the_call() -> None:
    assert repr(Noised.ALREADY) == "Noised.ALREADY"
    assert Start(np.zeros(4)).noised is Noised.HERE


def test_a_request_does_not_import_pillow() -> None:
    """Whoever has a PIL image has imported it already."""
    code = (
        "import sys, numpy as np\n"
        "from denoisert.runtime import Request, Start\n"
        "assert Request('red', start=Start(np.zeros(4))).start.picture is None\n"
        "assert not {'PIL', 'tokenizers', 'onnxruntime'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_refusal_is_also_a_value_error_of_our_tree() -> None:
    for kind in (DenoiseRTError, ValueError):
        with pytest.raises(kind):
            Request(seed=-1)


def test_messages_say_what_was_asked_and_what_is_possible() -> None:
    with pytest.raises(InvalidInput) as caught:
        Request(steps=10**9)
    assert "1000000000" in str(caught.value)
    assert "1 to 1000" in str(caught.value)


PAINTED = np.array([[True, False], [False, True]])


def test_a_mask_begins_with_noise_unless_the_strength_says_otherwise() -> None:
    picture = np.zeros((2, 2, 3), np.uint8)
    assert Start(picture, mask=PAINTED).share is None
    assert Start(picture, 1.0, mask=PAINTED).share is None
    assert Start(picture, 0.4, mask=PAINTED).share == 0.4
    assert Start(picture, 0.0, mask=PAINTED).share == 0.0
    start = Start(np.zeros(4), mask=PAINTED, buffers={"a": np.zeros(4)})
    assert start.given == ("source", "mask", "kept", "a")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"buffers": {"a": np.zeros(4)}}, "a mask without a clean picture"),
        ({"latent": np.zeros(4), "noised": Noised.ALREADY}, "a mask without a clean picture"),
        ({"latent": np.zeros(4), "mask": "mask.png"}, "a mask of type str; pass a PIL image"),
        ({"latent": np.zeros(4), "mask": [[0, 1]]}, "a mask of type list"),
    ],
    ids=str,
)
def test_masks_that_keep_nothing_or_are_none(fields: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        Start(**{"mask": PAINTED, **fields})  # type: ignore[arg-type]
