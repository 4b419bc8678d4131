"""Picking and placing by number against ONNX Runtime; negative numbers count from the end."""

import numpy as np
import pytest

from denoisert.runtime.errors import BuildError, EngineError
from tests.runtime.engines.torch.one_node import (
    agree,
    bound_answer,
    graph_of,
    integers,
    ints,
    normal,
    saved_engine,
)

X = normal(4, 5, 6)


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("shape", [(3,), (2, 3), (1, 2, 2)], ids=str)
def test_slices_along_an_axis(shape, axis, tmp_path):
    places = integers(*shape, low=-4, high=4)
    agree(tmp_path, "Gather", [X, places], {"axis": axis})
    agree(tmp_path, "Gather", [X, places], {"axis": axis}, constants=(0,))
    agree(tmp_path, "Gather", [X, places], {"axis": axis}, constants=(1,))


@pytest.mark.parametrize("place", [0, 3, -1])
def test_a_single_place_is_a_view(place, tmp_path):
    agree(tmp_path, "Gather", [X, np.array(place, np.int64)], {"axis": 1}, constants=(1,))
    agree(tmp_path, "Gather", [X, np.array(place, np.int64)], {"axis": 1})


def test_numbers_of_32_bits(tmp_path):
    agree(tmp_path, "Gather", [X, integers(3, low=-4, high=4, dtype=np.int32)])


def test_a_place_beyond_the_table_is_an_engine_error(tmp_path):
    model = graph_of("Gather", [X, ints(0, 4)], {}, constants=(0,), outputs=[X[:2]])
    engine = saved_engine(tmp_path, model)
    with pytest.raises(EngineError, match="torch failed while running: index 4 is out of bounds"):
        bound_answer(engine, {"x1": ints(0, 4)})


@pytest.mark.parametrize("axis", [0, 2])
def test_elements_along_an_axis(axis, tmp_path):
    places = integers(4, 5, 6, low=-4, high=4)[:3, :4, :2]
    agree(tmp_path, "GatherElements", [X, places.copy()], {"axis": axis})


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_places_that_name_several_axes(depth, tmp_path):
    agree(tmp_path, "GatherND", [X, integers(2, 3, depth, low=-4, high=4)])


@pytest.mark.parametrize("depth", [1, 2])
def test_places_for_each_lane(depth, tmp_path):
    agree(tmp_path, "GatherND", [X, integers(4, 3, depth, low=-4, high=4)], {"batch_dims": 1})


@pytest.mark.parametrize("reduction", ["none", "add", "mul", "max", "min"])
@pytest.mark.parametrize("axis", [0, 1])
def test_elements_are_replaced_or_combined(axis, reduction, tmp_path):
    order = np.argsort(normal(4, 5, 6, seed=3), axis)[:3, :3]
    places = np.where(order % 2, order - X.shape[axis], order)
    given = [X, places, normal(*places.shape, seed=1)]
    agree(tmp_path, "ScatterElements", given, {"axis": axis, "reduction": reduction})


@pytest.mark.parametrize("reduction", ["none", "add"])
def test_slices_are_replaced_or_added(reduction, tmp_path):
    places = np.array([[0, 1], [2, -1], [-1, 3]], np.int64)
    agree(tmp_path, "ScatterND", [X, places, normal(3, 6, seed=1)], {"reduction": reduction})


def test_other_reductions_of_slices_are_refused(tmp_path):
    given = [X, ints(0, 1).reshape(2, 1), normal(2, 5, 6)]
    with pytest.raises(BuildError, match="ScatterND 'node' has the reduction 'amax'"):
        agree(tmp_path, "ScatterND", given, {"reduction": "max"})


@pytest.mark.parametrize("axis", [-1, 0, 1])
def test_one_hot(axis, tmp_path):
    given = [integers(2, 3, low=-6, high=6), ints(6), np.array([0.5, 2.0], np.float32)]
    agree(tmp_path, "OneHot", given, {"axis": axis}, constants=(1, 2))


@pytest.mark.parametrize("upper", [0, 1])
@pytest.mark.parametrize("diagonal", [None, -1, 2])
def test_triangles(diagonal, upper, tmp_path):
    given = [X] if diagonal is None else [X, np.array(diagonal, np.int64)]
    agree(tmp_path, "Trilu", given, {"upper": upper}, constants=range(1, len(given)))
