"""What the library's words mean: messages of TensorRT for RTX 1.7.1.116, as they came."""

from pathlib import Path

import pytest

from denoisert.export.targets.job import EngineJob
from denoisert.export.targets.tensorrt.failure import explain, explain_shapes
from denoisert.runtime.engines.profile import Profile
from denoisert.runtime.engines.tensorrt.binding import RTX, TENSORRT
from denoisert.runtime.engines.tensorrt.log import ERROR, WARNING, Log
from denoisert.runtime.errors import BuildError, OutOfMemory, OutOfProfile

JOB = EngineJob(
    *("decoder", "tensorrt-rtx", Path("g.onnx"), Path(), Path("e")),
    (Profile({"lanes": (1, 2, 4), "height": (8, 8, 16)}), Profile({"lanes": (1, 1, 1)})),
)
PREFIX = "IBuilder::buildSerializedNetwork: Error Code"
MYELIN = f"{PREFIX} 1: Myelin ([myelin_graph.h:1295: attachExceptionMsgToGraph]"
SAID = (
    ("Unexpected exception std::bad_alloc", OutOfMemory, "Give it more"),
    (
        "[myelinResourceManager.cpp::virtual void* nvinfer1::rt::MyelinHostBuffer::allocate(const "
        "string&, cudaStream_t)::206] Error Code 2: OutOfMemory (Requested size was 50364799 "
        "bytes.)",
        OutOfMemory,
        "ran out of memory",
    ),
    (
        f"{MYELIN} Unexpected exception Resource temporarily unavailable In RAIIMyelinGraph at "
        "/_src/runtime/myelin/raiiMyelinGraph.h:37)",
        OutOfMemory,
        "half type",
    ),
    (
        f"{PREFIX} 4: Internal Error (kOPT values for profile 0 violate shape constraints: adder: "
        "dimensions not compatible for elementwise. Broadcast has incompatible dimensions: 3 != 2 "
        "&& 3 != 1 && 2 != 1. In operator() at /_src/runtime/core/shapeMachine.cpp:652)",
        OutOfProfile,
        "at the layer adder. Compile for sizes",
    ),
    (
        f"{PREFIX} 4: Internal Error (Profile kOPT values are not self-consistent. Dimensions with "
        "name lanes must be equal. Condition '==' violated: 2 != 3.)",
        OutOfProfile,
        "does not take every shape",
    ),
    (
        f"{PREFIX} 1: Myelin ([pass.cpp:1500: run_passes] Cannot compile for target(s) sm75, "
        "because the model contains HW-specific datatypes: b16. In compileGraph at "
        "/_src/optimizer/myelin/codeGenerator.cpp:2012)",
        BuildError,
        "Leave out the older capabilities",
    ),
    (
        f"{PREFIX} 1: Myelin ([check_turing_op_compatibility] Cannot compile operation "
        "'node_linear' for Turing (SM75): FP32 GEMM is not supported.)",
        BuildError,
        "at the layer node_linear",
    ),
    ("CUDA initialization failure with error: 35", BuildError, "wants a GPU"),
    (
        "it includes layers that require runtime allocation",
        BuildError,
        "shapes that follow from those of its inputs",
    ),
    (f"{PREFIX} 9: Something New (at stem)", BuildError, "Report the layer"),
)
LAYERS = ("adder", "node_linear", "stem", "add")


def log_of(text, severity=ERROR):
    log = Log()
    log.add(severity, text)
    return log


@pytest.mark.parametrize(("text", "kind", "says"), SAID, ids=[str(i) for i in range(len(SAID))])
def test_words_become_an_error_with_a_remedy(text, kind, says):
    error = explain(RTX, JOB, log_of(text), LAYERS)
    assert type(error) is kind
    message = str(error)
    assert message.startswith("decoder cannot be compiled for tensorrt-rtx with the profiles ")
    assert "(lanes 1 to 4, height 8 to 16) and (lanes 1)" in message
    assert says in message
    assert f"{RTX.title} {RTX.version} says: " in message
    assert "/_src" not in message


def test_a_log_without_words_is_still_an_error():
    error = explain(TENSORRT, JOB, Log(), ())
    assert type(error) is BuildError
    assert str(error).endswith("says: nothing in its log")


def test_warnings_of_shapes_are_an_error_and_others_are_not():
    text = "Profile kMAX values are not self-consistent. IShuffleLayer resh: reshaping failed"
    error = explain_shapes(RTX, JOB, log_of(text, WARNING), ("resh", "other"))
    assert type(error) is OutOfProfile
    assert "at the layer resh." in str(error)
    assert explain_shapes(RTX, JOB, log_of("Multi stream is disabled", WARNING), ("resh",)) is None
    assert explain_shapes(RTX, JOB, Log(), ("resh",)) is None
