"""The store of measured times: what goes in comes out, and nothing else is believed."""

import json
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from denoisert.runtime.engines.target import OnnxRuntime
from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.measure.estimate import Basis, Estimate
from denoisert.runtime.measure.profile import Call, Profile, ProfileKey

KEY = ProfileKey("b" * 64, "onnxruntime", "Chip 9", 2, {"onnxruntime": "1.2"})
CALLS = (Call("denoiser", 4, 0.5), Call("denoiser", 1, 0.2), Call("decoder", 1, 0.125))
PROFILE = Profile(KEY, CALLS)


def test_what_is_written_is_read(tmp_path):
    path = PROFILE.write(tmp_path / "a" / "cache")
    assert path.is_relative_to(tmp_path / "a" / "cache" / "profiles")
    assert Profile.read(tmp_path / "a" / "cache", KEY) == PROFILE
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_no_cache_and_no_file_are_an_empty_profile(tmp_path):
    for cache in (None, tmp_path, tmp_path / "missing"):
        found = Profile.read(cache, KEY)
        assert (found.key, found.calls, found.note) == (KEY, (), "")


@pytest.mark.parametrize(
    "changes",
    [
        {"bundle": "c" * 64},
        {"target": "openvino"},
        {"device": "Chip 10"},
        {"threads": 1},
        {"libraries": {"onnxruntime": "1.3"}},
    ],
)
def test_another_key_is_another_file(tmp_path, changes):
    PROFILE.write(tmp_path)
    other = replace(KEY, **changes)
    assert other.path(tmp_path) != KEY.path(tmp_path)
    assert Profile.read(tmp_path, other).calls == ()


def test_a_profile_of_something_else_in_our_place_is_passed_over(tmp_path):
    foreign = replace(PROFILE, key=replace(KEY, device="Chip 10")).write(tmp_path)
    os.replace(foreign, KEY.path(tmp_path))
    found = Profile.read(tmp_path, KEY)
    assert found.calls == ()
    assert "something else" in found.note


def test_truncations_and_flipped_bits_is_passed_over_or_harmless(tmp_path):
    path = PROFILE.write(tmp_path)
    text = path.read_bytes()
    for cut in range(0, len(text), 11):
        path.write_bytes(text[:cut])
        found = Profile.read(tmp_path, KEY)
        assert found.calls == ()
        assert found.note
    random = np.random.default_rng(5)
    for place in range(0, len(text), 5):
        damaged = bytearray(text)
        damaged[place] ^= 1 << random.integers(8)
        path.write_bytes(damaged)
        found = Profile.read(tmp_path, KEY)
        assert found.key == KEY
        assert all(call.seconds >= 0 and call.lanes >= 1 for call in found.calls)


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"calls": [{"component": "denoiser", "lanes": 0, "seconds": 1.0}]},
        {"calls": [{"component": "denoiser", "lanes": 1, "seconds": -1.0}]},
        {"calls": [{"component": "denoiser", "lanes": 1}]},
        {"calls": None},
        {"more": 1},
        {"key": {}},
    ],
)
def test_values_that_make_no_sense_are_passed_over(tmp_path, change):
    path = PROFILE.write(tmp_path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    found = Profile.read(tmp_path, KEY)
    assert found.calls == ()
    assert "device profile" in found.note


def test_a_folder_or_a_huge_file_in_its_place_is_passed_over(tmp_path):
    path = KEY.path(tmp_path)
    path.mkdir(parents=True)
    assert Profile.read(tmp_path, KEY).note
    path.rmdir()
    path.write_bytes(b"[" * 2**21)
    assert "bytes" in Profile.read(tmp_path, KEY).note


def _write_often(cache, seconds):
    for _ in range(25):
        Profile(KEY, (Call("denoiser", 1, seconds),) * 20).write(cache)


def test_writers_and_a_reader_at_once_never_see_half_a_file(tmp_path):
    _write_often(tmp_path, 1.0)
    with ThreadPoolExecutor(2) as pool:
        writers = [pool.submit(_write_often, tmp_path, float(n)) for n in (2, 3)]
        while not all(writer.done() for writer in writers):
            found = Profile.read(tmp_path, KEY)
            assert len(found.calls) == 20
            assert len({call.seconds for call in found.calls}) == 1
    assert [writer.result() for writer in writers] == [None, None]
    assert len(list(KEY.path(tmp_path).parent.iterdir())) == 1


def test_a_measured_bucket_is_measured():
    assert PROFILE.call("denoiser", 4) == Estimate(0.5, Basis.MEASURED)
    assert PROFILE.call("decoder", 1) == Estimate(0.125, Basis.MEASURED)


@pytest.mark.parametrize(("lanes", "seconds"), [(2, 0.3), (3, 0.4), (8, 0.9), (14, 1.5)])
def test_others_lie_on_the_line_through_the_nearest_two(lanes, seconds):
    found = PROFILE.call("denoiser", lanes)
    assert found.basis is Basis.MODELLED
    assert found.seconds == pytest.approx(seconds)


def test_three_buckets_have_two_lines():
    calls = tuple(Call("x", lanes, time) for lanes, time in ((2, 1.0), (4, 3.0), (8, 4.0)))
    profile = Profile(KEY, calls)
    times = {lanes: profile.call("x", lanes).seconds for lanes in (1, 3, 6, 16)}
    assert times == {1: 0.0, 3: 2.0, 6: 3.5, 16: 6.0}


def test_noise_never_makes_a_larger_call_cheaper():
    profile = Profile(KEY, (Call("x", 1, 2.0), Call("x", 2, 1.9)))
    assert profile.call("x", 8).seconds == 2.0


def test_one_bucket_alone():
    assert PROFILE.call("decoder", 4) == Estimate(0.5, Basis.MODELLED)
    fixed = Profile(KEY, (Call("x", 4, 1.0),))
    assert fixed.call("x", 1) == Estimate(1.0, Basis.MODELLED)


def test_what_was_never_measured_is_unknown():
    assert PROFILE.call("text_encoder", 1) == Estimate()
    assert Profile(KEY).call("denoiser", 1) == Estimate()


def test_the_key_of_this_machine_names_what_runs():
    key = ProfileKey.of("b" * 64, OnnxRuntime(), 3)
    assert (key.bundle, key.target, key.threads) == ("b" * 64, "onnxruntime", 3)
    assert key.device
    assert set(key.libraries) == {"numpy", "onnxruntime"}
    assert key == ProfileKey.of("b" * 64, OnnxRuntime(), 3)


@pytest.mark.parametrize(("lanes", "seconds"), [(0, 1.0), (1, -1.0)])
def test_a_call_that_cannot_be_is_refused(lanes, seconds):
    with pytest.raises(InvalidInput, match="measured call"):
        Call("denoiser", lanes, seconds)


@pytest.mark.parametrize("seed", range(8))
def test_any_profile_goes_to_the_file_and_back(seed, tmp_path):
    draw = np.random.default_rng([seed, 21])
    names = ["denoiser", "text_encoder", 'qu"ote', "ümlaut", "a\nb"]
    calls = tuple(
        Call(name, int(lanes), float(draw.exponential()))
        for name in names
        for lanes in draw.permutation(np.arange(1, 17))[: draw.integers(1, 9)]
    )
    key = ProfileKey("f" * 64, "target", 'Chip "9" ü', int(draw.integers(1, 64)), {"a": "1+cpu"})
    Profile(key, calls).write(tmp_path)
    assert Profile.read(tmp_path, key) == Profile(key, calls)


@pytest.mark.parametrize("seed", range(8))
def test_times_that_grow_are_modelled_as_times_that_grow(seed):
    draw = np.random.default_rng([seed, 22])
    known = sorted(draw.permutation(np.arange(1, 33))[: draw.integers(1, 8)].tolist())
    seconds = np.cumsum(draw.exponential(size=len(known)))
    pairs = zip(known, seconds.tolist(), strict=True)
    profile = Profile(KEY, tuple(Call("x", lanes, time) for lanes, time in pairs))
    found = [profile.call("x", lanes).seconds for lanes in range(1, 65)]
    assert all(later >= earlier for earlier, later in pairwise(found))
    assert found[0] >= 0.0
    for lanes, time in zip(known, seconds, strict=True):
        assert profile.call("x", lanes) == Estimate(time, Basis.MEASURED)
    kinds = [profile.call("x", lanes).basis for lanes in range(1, 65)]
    assert kinds.count(Basis.MEASURED) == len(known)
    assert kinds.count(Basis.UNKNOWN) == 0


def test_a_failed_write_leaves_the_older_profile_and_no_draft(tmp_path, monkeypatch):
    path = PROFILE.write(tmp_path)

    def full(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        Profile(KEY).write(tmp_path)
    monkeypatch.undo()
    assert Profile.read(tmp_path, KEY) == PROFILE
    assert list(path.parent.iterdir()) == [path]


def test_a_link_in_its_place_is_replaced_and_not_followed(tmp_path):
    path = KEY.path(tmp_path)
    path.parent.mkdir(parents=True)
    (tmp_path / "victim").write_text("mine")
    path.symlink_to(tmp_path / "victim")
    assert Profile.read(tmp_path, KEY).note
    PROFILE.write(tmp_path)
    assert (tmp_path / "victim").read_text() == "mine"
    assert not path.is_symlink()
