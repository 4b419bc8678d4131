"""Noise: published words, the counter's layout by hand, statistics, and the CPU form."""

from __future__ import annotations

import math
import tracemalloc
from itertools import pairwise

import numpy as np
import pytest

from denoisert.kernels import philox
from denoisert.kernels.philox import cpu, reference

# Counter, key and result as in Random123's kat_vectors, philox4x32 with 10 rounds.
ZEROS = ("00000000 " * 4, "00000000 " * 2, "6627e8d5 e169c58d bc57ac4c 9b00dbd8")
ONES = ("ffffffff " * 4, "ffffffff " * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd")
DIGITS_OF_PI = (
    "243f6a88 85a308d3 13198a2e 03707344",
    "a4093822 299f31d0",
    "d16cfe09 94fdcceb 5001e420 24126ea1",
)
BLOCK = cpu.BLOCK


def from_hex(text):
    return np.array([int(word, 16) for word in text.split()], dtype=np.uint32)


def integer_words(counter, key):
    """Philox4x32-10 once more, in Python integers, after the paper's figure."""
    (c0, c1, c2, c3), (k0, k1) = counter, key
    for _ in range(10):
        a, b = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1, c2, c3 = (b >> 32) ^ c1 ^ k0, b % 2**32, (a >> 32) ^ c3 ^ k1, a % 2**32
        k0, k1 = (k0 + 0x9E3779B9) % 2**32, (k1 + 0xBB67AE85) % 2**32
    return c0, c1, c2, c3


def element_words(element, *, seed, draw, image, purpose, loop):
    """The layout of DESIGN.md, section 1, idea 2, for one element."""
    counter = (element // 4, draw, purpose + 256 * loop, image)
    return integer_words(counter, (seed % 2**32, seed >> 32))


def element_normal(element, **fields):
    drawn = element_words(element, **fields)
    pair = drawn[:2] if element % 4 < 2 else drawn[2:]
    signed = [word - 2**32 if word >= 2**31 else word for word in pair]
    unit = [np.float32(4.6566127342e-10) * np.float32(w if w >= 0 else -w - 1) for w in signed]
    radius = math.sqrt(-2 * math.log(max(float(unit[0]), float(np.float32(1e-7)))))
    angle = 6.283185307179586 * float(unit[1])
    return radius * (math.sin(angle) if element % 2 else math.cos(angle))


def random_fields(generator):
    return {
        "seed": int(generator.integers(2**64, dtype=np.uint64)),
        "draw": int(generator.integers(2**32)),
        "image": int(generator.integers(2**32)),
        "loop": int(generator.integers(2**24)),
    }


def on_cpu(op, seed, *, count, dtype=np.float32, **fields):
    out = np.full(count, np.nan, dtype=dtype)
    op(seed, count=count, out=out, workspace=cpu.workspace(count), **fields)
    return out


def bits(values):
    return values.view(np.uint32)


@pytest.mark.parametrize(("counter", "key", "expected"), [ZEROS, ONES, DIGITS_OF_PI])
def test_words_equal_the_published_vectors(counter, key, expected):
    assert np.array_equal(reference.words(from_hex(counter), from_hex(key)), from_hex(expected))


def test_words_of_many_counters_equal_python_integers():
    generator = np.random.default_rng(1)
    counters = generator.integers(2**32, size=(3, 5, 4), dtype=np.uint32)
    key = generator.integers(2**32, size=2, dtype=np.uint32)
    drawn = reference.words(counters, key)
    assert drawn.dtype == np.uint32
    for place in np.ndindex(3, 5):
        expected = integer_words(map(int, counters[place]), map(int, key))
        assert tuple(map(int, drawn[place])) == expected


# The layout of the counter


@pytest.mark.parametrize("trial", range(4))
def test_normals_follow_the_counter_layout(trial):
    generator = np.random.default_rng(100 + trial)
    fields = random_fields(generator)
    first, purpose = int(generator.integers(2**34 - 20)), int(generator.integers(256))
    drawn = reference.normals(**fields, purpose=purpose, first=first, count=13, dtype=np.float64)
    expected = [element_normal(first + i, purpose=purpose, **fields) for i in range(13)]
    np.testing.assert_allclose(drawn, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("trial", range(4))
def test_uniforms_follow_the_counter_layout(trial):
    generator = np.random.default_rng(200 + trial)
    fields, first = random_fields(generator), int(generator.integers(2**34 - 20))
    drawn = reference.uniforms(**fields, first=first, count=13)
    for place, value in enumerate(drawn):
        element = first + place
        word = element_words(element, purpose=3, **fields)[element % 4]
        assert float(value) == (word >> 8) / 2**24


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_extreme_words_give_finite_normals(dtype):
    longest, signs = math.sqrt(-2 * math.log(1e-7)), from_hex("7fffffff 80000000")
    drawn = np.array([[0, 0, 2**32 - 1, 2**29], [*signs, *signs[::-1]]], dtype=np.uint32)
    found = reference.box_muller(drawn, dtype)
    np.testing.assert_allclose(found[0], [longest, 0, 0, longest], atol=3e-6)
    assert np.abs(found[1]).max() < 1e-3  # the largest u, a radius near 0


def test_purposes_are_the_numbers_of_the_design():
    assert (philox.LATENT, philox.CONDITION, philox.CODEC, philox.UNIFORM) == (0, 1, 2, 3)
    plain = reference.normals(5, draw=2, count=8)
    assert np.array_equal(plain, reference.normals(5, draw=2, count=8, purpose=0, loop=0, image=0))


def test_every_field_names_another_stream():
    fields = {"draw": 3, "image": 5, "purpose": 1, "loop": 7}
    streams = [reference.normals(11, count=64, **fields)]
    streams += [reference.normals(11, count=64, **fields | {name: 2}) for name in fields]
    streams += [reference.normals(seed, count=64, **fields) for seed in (12, 11 + 2**32, 11 << 32)]
    streams.append(reference.normals(11, count=64, first=64, **fields))
    for index, one in enumerate(streams):
        for other in streams[:index]:
            assert not np.isin(one, other).any()


# Statistics


def test_normals_have_the_moments_of_a_normal():
    count = 1 << 18
    drawn = reference.normals(2024, draw=0, count=count, dtype=np.float64)
    for power, moment, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96), (6, 15, 10170)):
        error = abs(np.mean(drawn**power) - moment)
        assert error < 4 * math.sqrt(variance / count), power


def test_normals_pass_a_kolmogorov_smirnov_check():
    count = 1 << 15
    ordered = np.sort(reference.normals(77, draw=4, count=count, dtype=np.float64))
    below = np.array([0.5 * math.erfc(-value / math.sqrt(2)) for value in ordered])
    ranks = np.arange(count)
    distance = max(np.max(below - ranks / count), np.max((ranks + 1) / count - below))
    assert distance * math.sqrt(count) < 1.95  # p = 0.001


def test_the_four_numbers_of_a_group_and_successive_draws_are_uncorrelated():
    groups = 1 << 15
    columns = [
        reference.normals(3, draw=draw, count=4 * groups, dtype=np.float64).reshape(-1, 4)
        for draw in (0, 1)
    ]
    correlation = np.corrcoef(np.concatenate(columns, axis=1).T)
    assert np.abs(correlation - np.eye(8)).max() < 5 / math.sqrt(groups)


def test_uniforms_fill_the_unit_interval_evenly():
    count = 1 << 16
    drawn = reference.uniforms(9, draw=0, count=count)
    assert 0 <= drawn.min() < drawn.max() < 1
    cells = np.histogram(drawn, bins=64, range=(0, 1))[0]
    chi_square = np.sum((cells - count / 64) ** 2) / (count / 64)
    assert abs(chi_square - 63) < 4 * math.sqrt(2 * 63)


def test_float32_normals_are_near_the_float64_truth():
    single = reference.normals(13, draw=1, count=1 << 17)
    truth = reference.normals(13, draw=1, count=1 << 17, dtype=np.float64)
    assert (single.dtype, truth.dtype) == (np.float32, np.float64)
    assert np.abs(single - truth).max() <= 2e-6


# The CPU form


@pytest.mark.parametrize("first", [0, 1, 2, 3, 4, 4093, 2**33 + 1])
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 61, 256, BLOCK - 1, BLOCK, BLOCK + 1, 8219])
def test_cpu_equals_the_reference_bit_for_bit(count, first):
    fields = random_fields(np.random.default_rng(count + first))
    for name in ("normals", "uniforms"):
        expected = getattr(reference, name)(**fields, first=first, count=count)
        assert np.array_equal(
            bits(on_cpu(getattr(cpu, name), **fields, first=first, count=count)), bits(expected)
        )


@pytest.mark.parametrize("seed", [0, 1, 2**32 - 1, 2**32, 2**63, 2**64 - 1])
@pytest.mark.parametrize("fields", [{}, {"purpose": 255, "loop": 2**24 - 1, "image": 2**32 - 1}])
def test_cpu_equals_the_reference_at_the_ends_of_every_range(seed, fields):
    for first in (0, 2**34 - 50):
        place = fields | {"draw": 2**32 - 1, "first": first, "count": 50}
        expected = reference.normals(seed, **place)
        assert np.array_equal(bits(on_cpu(cpu.normals, seed, **place)), bits(expected))


@pytest.mark.parametrize("element", [71_035_964, 99_850_914])
def test_cpu_bounds_the_longest_radius(element):
    """Seed 0, draw 0 has a word of 121 and one of -71 there: u_a is below its floor."""
    found = on_cpu(cpu.normals, 0, draw=0, first=element, count=2)
    assert np.array_equal(found, reference.normals(0, draw=0, first=element, count=2))
    assert np.hypot(*found) == pytest.approx(math.sqrt(-2 * math.log(1e-7)), rel=1e-6)


def test_a_latent_is_the_same_however_it_is_cut():
    generator = np.random.default_rng(5)
    elements = 3 * BLOCK + 7
    whole = on_cpu(cpu.normals, 42, draw=6, count=elements)
    for _ in range(5):
        cuts = np.sort(generator.integers(elements + 1, size=9))
        edges = [0, *map(int, cuts), elements]
        pieces = [
            on_cpu(cpu.normals, 42, draw=6, first=start, count=end - start)
            for start, end in pairwise(edges)
        ]
        assert np.array_equal(bits(np.concatenate(pieces)), bits(whole))


def test_a_workspace_remembers_nothing_between_calls():
    space = cpu.workspace(300)
    out = np.empty(300, dtype=np.float32)
    for seed, count, first in ((3, 300, 0), (2**64 - 1, 17, 5), (3, 299, 1), (8, 300, 2**34 - 300)):
        for name in ("even", "products", "keys", "drawn", "floats", "grid"):
            getattr(space, name).view(np.uint32)[...] = 0xFFFFFFFF
        cpu.normals(seed, draw=1, first=first, count=count, out=out[:count], workspace=space)
        expected = reference.normals(seed, draw=1, first=first, count=count)
        assert np.array_equal(bits(out[:count]), bits(expected))


def test_cpu_writes_into_strided_and_wider_arrays():
    expected = reference.normals(1, draw=0, count=10)
    store = np.zeros((10, 2), dtype=np.float64)
    cpu.normals(1, draw=0, count=10, out=store[:, 1], workspace=cpu.workspace(10))
    assert np.array_equal(store[:, 1], expected.astype(np.float64))
    assert not store[:, 0].any()


def test_nothing_is_written_for_an_empty_piece():
    assert reference.normals(1, draw=0, count=0).shape == (0,)
    assert on_cpu(cpu.normals, 1, draw=0, count=0).shape == (0,)


def test_cpu_allocates_nothing_of_a_latents_size():
    count = 1 << 15
    out, space = np.empty(count, dtype=np.float32), cpu.workspace(count)
    for op in (cpu.normals, cpu.uniforms):
        op(1, draw=0, count=count, out=out, workspace=space)
        peaks = []
        for _ in range(3):  # other threads allocate, too
            tracemalloc.start()
            op(1, draw=1, first=3, count=count, out=out, workspace=space)
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
        assert min(peaks) < 4096  # views and small numbers


@pytest.mark.parametrize(
    "change",
    [
        {"seed": -1},
        {"seed": 2**64},
        {"draw": -1},
        {"draw": 2**32},
        {"image": 2**32},
        {"purpose": 256},
        {"loop": 2**24},
        {"first": -1},
        {"first": 2**34 - 7},
        {"count": -1},
    ],
)
def test_numbers_outside_their_range_are_refused(change):
    fields = {"seed": 0, "draw": 0, "count": 8} | change
    out, space = np.zeros(8, dtype=np.float32), cpu.workspace(8)
    for op in ("normals", "uniforms"):
        with pytest.raises(ValueError, match=r"outside|must be at least"):
            getattr(reference, op)(**fields)
        with pytest.raises(ValueError, match=r"outside|must be at least"):
            getattr(cpu, op)(**fields, out=out, workspace=space)


@pytest.mark.parametrize(("size", "held"), [(7, 8), (9, 8), (8, 7)])
def test_an_out_or_workspace_of_another_size_is_refused(size, held):
    with pytest.raises(ValueError, match="out has shape"):
        cpu.normals(0, draw=0, count=8, out=np.zeros(size), workspace=cpu.workspace(held))
