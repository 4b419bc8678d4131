"""Every error that DenoiseRT raises on purpose, and nothing else.

DenoiseRTError
├── InvalidInput (ValueError)            a request, option or card that cannot be honoured
├── InvalidTable (ValueError)            rows that break the table's form
├── BundleError (OSError)                a bundle that cannot be read or written
│   ├── ManifestMismatch                 another format version, or a bundle other than the expected
one
│   ├── Tampered                         bytes, files or permissions differ from the manifest
│   └── Incompatible                     nothing in the bundle can run here
├── ExportError (RuntimeError)           a model that cannot be compiled
│   ├── UnsupportedOperator              a graph uses an operator that the target lacks
│   └── ParityError                      the compiled graph and its source disagree
├── EngineError (RuntimeError)           an engine failed
│   ├── BuildError                       while it was built or loaded
│   ├── OutOfProfile (ValueError)        a shape outside the compiled ones
│   ├── FellBack                         it would have run elsewhere than asked
│   └── DeviceLost                       the device fails whatever is asked of it
├── NonFinite (ArithmeticError)          a latent became NaN or infinite
├── OutOfMemory (MemoryError)            the plan needs more than there is
├── CaptureError (RuntimeError)          a tick cannot be captured
├── ParallelError (RuntimeError)
│   ├── PatchGeometry (ValueError)       rows cannot be divided among these ranks
│   └── RankLost (ConnectionError)       a rank went away
├── Overloaded (RuntimeError)            the queue is full
├── DeadlineExceeded (TimeoutError)      the request's deadline passed
└── Cancelled (RuntimeError)             the request was cancelled

A message says what was asked, what was found and what to do.
"""


class DenoiseRTError(Exception):
    """The base of every error that DenoiseRT raises on purpose."""


class InvalidInput(DenoiseRTError, ValueError):
    """A request, option or card that cannot be honoured."""


class InvalidTable(DenoiseRTError, ValueError):
    """Rows or a table that break the form of `runtime/sampling`."""


class BundleError(DenoiseRTError, OSError):
    """A bundle that cannot be read or written."""


class ManifestMismatch(BundleError):
    """The manifest is of another format version, or of another bundle than the expected one."""


class Tampered(BundleError):
    """Bytes, files or permissions differ from what the manifest promises."""


class Incompatible(BundleError):
    """Nothing in the bundle can run on this machine."""


class ExportError(DenoiseRTError, RuntimeError):
    """A model that cannot be compiled."""


class UnsupportedOperator(ExportError):
    """A graph uses an operator that the target lacks."""


class ParityError(ExportError):
    """The compiled graph and its source disagree."""


class EngineError(DenoiseRTError, RuntimeError):
    """An engine failed while it ran."""


class DeviceLost(EngineError):
    """The device fails whatever is asked of it: nothing can run in this process any more."""


class BuildError(EngineError):
    """An engine failed while it was built or loaded."""


class OutOfProfile(EngineError, ValueError):
    """A shape outside the compiled ones."""


class FellBack(EngineError):
    """The engine would have run elsewhere than asked."""


class NonFinite(DenoiseRTError, ArithmeticError):
    """A latent became NaN or infinite."""


class OutOfMemory(DenoiseRTError, MemoryError):
    """The plan needs more memory than there is."""


class CaptureError(DenoiseRTError, RuntimeError):
    """A tick cannot be captured as a graph."""


class ParallelError(DenoiseRTError, RuntimeError):
    """Several ranks cannot work together."""


class PatchGeometry(ParallelError, ValueError):
    """Rows cannot be divided among these ranks."""


class RankLost(ParallelError, ConnectionError):
    """A rank went away."""


class Overloaded(DenoiseRTError, RuntimeError):
    """The queue is full.

    Attributes:
        retry_s: after how many seconds there may be room, None while nothing is known.
    """

    def __init__(self, message: str, retry_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_s = retry_s


class DeadlineExceeded(DenoiseRTError, TimeoutError):
    """The request's deadline passed."""


class Cancelled(DenoiseRTError, RuntimeError):
    """The request was cancelled."""
