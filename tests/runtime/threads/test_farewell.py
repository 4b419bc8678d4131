"""What is said and kept of requests that have ended."""

import gc
import logging
import weakref
from types import SimpleNamespace

import pytest

from denoisert.runtime import Request
from denoisert.runtime.errors import Cancelled, EngineError, NonFinite
from denoisert.runtime.threads.farewell import failure, report, without_frames


class Engine:
    pass


def failed():
    engine = Engine()
    try:
        try:
            raise RuntimeError("a foreign library", id(engine))
        except RuntimeError as error:
            raise EngineError("ours") from error
    except EngineError as error:
        return error, weakref.ref(engine)


def test_an_error_keeps_its_cause_and_drops_its_frames():
    error, engine = failed()
    gc.collect()
    assert engine() is not None
    assert without_frames(error) is error
    gc.collect()
    assert engine() is None
    assert isinstance(error.__cause__, RuntimeError)
    assert without_frames(None) is None


@pytest.mark.parametrize(("error", "outcome"), [(None, "done"), (NonFinite("secret"), "NonFinite")])
def test_a_report_has_number_outcome_and_time(caplog, error, outcome):
    job = SimpleNamespace(number=7, submitted_ns=0, request=Request("secret", images=3))
    with caplog.at_level(logging.INFO, "denoisert"):
        report(job, error)
    (line,) = (record.getMessage() for record in caplog.records)
    assert line.startswith(f"request 7 {outcome}: 3 image(s), ")
    assert "secret" not in line


def test_nothing_is_said_where_nobody_listens(caplog):
    with caplog.at_level(logging.WARNING, "denoisert"):
        report(SimpleNamespace(), None)
    assert not caplog.records


def test_a_runtime_that_died_is_no_cancellation():
    cause = MemoryError("full")
    died, closed = failure("it died", cause), failure("it is closed", None)
    assert isinstance(died, EngineError)
    assert died.__cause__ is cause
    assert isinstance(closed, Cancelled)
    assert "closed" in str(closed)
