"""What a library said, as the end of a message."""

import threading

import pytest

from denoisert.runtime.engines.tensorrt.binding import RTX
from denoisert.runtime.engines.tensorrt.log import ERROR, WARNING, Log, implement, readable

INFO = 3
NOISE = (
    "[checkMacros.cpp::catchCudaError::250] Error Code 1: Cuda Runtime (In catchCudaError at "
    "/_src/common/dispatch/checkMacros.cpp:250 (cudaError 35: CUDA driver version is "
    "insufficient for CUDA runtime version))",
    'ModelImporter.cpp:140: While parsing node number 0 [Foo -> "a"]:',
    "ModelImporter.cpp:142: --- Begin node ---",
    "ModelImporter.cpp:1071: Make sure input kk has Int64 binding.",
)


def test_errors_come_before_warnings_and_each_once():
    log = Log()
    for severity, text in ((WARNING, "w"), (ERROR, "e"), (INFO, "i"), (ERROR, "e"), (0, "worst")):
        log.add(severity, text)
    assert log.said() == ("e", "worst")
    assert log.said(WARNING) == ("w", "e", "worst")
    assert log.text() == "e; worst"
    log.clear()
    log.add(WARNING, "w")
    assert log.text() == "w"


def test_an_empty_log_says_so():
    assert Log().text() == "nothing in its log"


def test_only_the_last_errors_are_kept_in_a_message():
    log = Log()
    for number in range(20):
        log.add(ERROR, f"error {number}")
    assert log.text().split("; ") == [f"error {number}" for number in range(14, 20)]


@pytest.mark.parametrize("text", NOISE)
def test_what_is_always_said_is_passed_over(text):
    log = Log()
    log.add(ERROR, text)
    assert log.lines == []


def test_places_in_the_library_are_left_out():
    text = (
        "IBuilder::buildSerializedNetwork: Error Code 4: API Usage Error (Network must have at "
        "least one output.\nIn validate at /_src/optimizer/api/network.cpp:3810)"
    )
    assert readable(text) == (
        "IBuilder::buildSerializedNetwork: Error Code 4: API Usage Error (Network must have at "
        "least one output.)"
    )
    assert readable(f"node{NOISE[0]} fails") == "node fails"


def test_long_texts_are_cut():
    assert len(readable("x" * 5000)) < 600
    assert readable("x" * 5000).endswith(" ...")


def test_the_library_writes_to_the_log():
    library, log = RTX.load(), Log()
    builder = library.Builder(log.logger(library))
    network, config = builder.create_network(0), builder.create_builder_config()
    assert builder.build_serialized_network(network, config) is None
    assert "Network must have at least one output" in log.text()
    assert "/_src" not in log.text()


def test_every_logger_has_its_own_log():
    library, logs = RTX.load(), [Log(), Log()]
    builders = [library.Builder(log.logger(library)) for log in logs]
    network = builders[1].create_network(0)
    builders[1].build_serialized_network(network, builders[1].create_builder_config())
    assert logs[0].lines == []
    assert logs[1].said()


def test_an_interface_is_called_from_any_thread():
    seen = []

    class Base:
        def log(self, severity, text):
            raise AssertionError

    made = implement(Base, log=lambda severity, text: seen.append((severity, text)))
    thread = threading.Thread(target=made.log, args=(1, "x"))
    thread.start()
    thread.join()
    assert seen == [(1, "x")]
    assert isinstance(made, Base)
