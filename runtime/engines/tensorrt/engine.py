"""The TensorRT engine: ports, buckets, and calls bound to buffers on a CUDA device."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from denoisert.runtime.bundle.manifest import GraphEntry
from denoisert.runtime.engines.engine import sized
from denoisert.runtime.engines.profile import LANES, buckets_at, choose_profile
from denoisert.runtime.engines.target import TensorRt, TensorRtRtx
from denoisert.runtime.engines.tensorrt.binding import BINDINGS
from denoisert.runtime.engines.tensorrt.bound import Call, TensorRtBound
from denoisert.runtime.engines.tensorrt.interface import JustInTimeContext
from denoisert.runtime.engines.tensorrt.opened import Opened, cuda_device
from denoisert.runtime.engines.torch.bound import reported
from denoisert.runtime.engines.torch.buffers import AnyBuffer, place_buffers
from denoisert.runtime.errors import BuildError, OutOfProfile


class TensorRtEngine:
    """One engine of TensorRT for RTX or of TensorRT.

    It is served at the lanes and sizes that its profiles hold; each bound call has a context of its
    own, with the tightest of them. Scratch memory is torch's, one for each profile and size: calls
    that one thread binds run one after the other.

    Args:
        plan: the engine's file, verified.
        entry: what the manifest says about it: its ports, and its profiles in their order.
        target: the library, and the device that it runs on.
        cache: folder of the device profile, for the kernels that the library compiles there.

    Raises:
        Incompatible: there is no CUDA device, or the library does not take the engine here.
        BuildError: the library is missing or of another version, cannot load the file, or finds
            other ports in it.
    """

    def __init__(
        self,
        plan: Path,
        entry: GraphEntry,
        target: TensorRtRtx | TensorRt,
        *,
        cache: Path | None = None,
    ) -> None:
        self.inputs, self.outputs = entry.inputs, entry.outputs
        self._profiles = entry.profiles
        self._sizes: Mapping[str, int] = {}
        self.buckets = buckets_at(self.outputs, self._profiles, self._sizes)
        binding, device = BINDINGS[target.name], cuda_device(target.device)
        self._opened = Opened(plan, device, binding, cache)
        self._opened.check_ports((*self.inputs, *self.outputs))
        self._check_profiles()

    def _check_profiles(self) -> None:
        found = self._opened.engine.num_optimization_profiles
        if found != max(1, len(self._profiles)):
            raise BuildError(
                f"the engine has {found} profiles, {len(self._profiles)} by the manifest. Compile "
                "the model again."
            )

    def workspace_bytes(self, bucket: int) -> int:
        """Scratch memory of the profile that a call of `bucket` lanes takes.

        Raises:
            OutOfProfile: no profile holds it.
            EngineError: the engine is closed.
        """
        return self._opened.scratch_bytes(self._profile(bucket))

    def bind(self, bucket: int, buffers: Mapping[str, AnyBuffer]) -> TensorRtBound:
        """Fix the buffers of one call; see `Engine.bind`.

        Args:
            bucket: one of `buckets`.
            buffers: port name -> tensor on the engine's device, used in place, or NumPy array,
                copied in and out by each run.

        Raises:
            OutOfProfile: no profile holds the call, a size is not fixed, or a buffer is missing or
                has another shape, dtype, device or layout.
            EngineError: the engine is closed, or the library refuses the call.
            OutOfMemory: scratch memory does not fit on the device.
        """
        number, opened = self._profile(bucket), self._opened
        context = opened.context()
        with reported("binding"):
            placed = place_buffers(self.inputs, self.outputs, bucket, buffers, opened.device)
            scratch = opened.scratch(self.inputs, number)
        call = Call(number, tuple(port.name for port in self.inputs), placed, scratch)
        bound = TensorRtBound(opened, context, call)
        self._check_outputs(context, bucket)
        return bound

    def at(self, sizes: Mapping[str, int]) -> TensorRtEngine:
        """The same engine with the sizes of named axes fixed; see `Engine.at`.

        Raises:
            OutOfProfile: no profile holds the sizes.
        """
        view = sized(self, sizes)
        if view is self:
            return self
        view._sizes = {**self._sizes, **sizes}
        view.buckets = buckets_at(self.outputs, self._profiles, view._sizes)
        return view

    def save_kernels(self) -> None:
        """Write kernels that are new to the cache; `close` does so, too."""
        self._opened.save_kernels()

    def close(self) -> None:
        """Release the engine, at every size; it goes with its last bound call."""
        self._opened.close()

    def _profile(self, bucket: int) -> int:
        if bucket not in self.buckets:
            raise OutOfProfile(
                f"{bucket} lanes asked for, the engine is compiled for {self.buckets}."
            )
        return choose_profile(self._profiles, {**self._sizes, LANES: bucket})

    def _check_outputs(self, context: JustInTimeContext, bucket: int) -> None:
        for port in self.outputs:
            found, wanted = tuple(context.get_tensor_shape(port.name)), port.shape(bucket)
            if found != wanted:
                raise BuildError(
                    f"{port.name} comes out as {found}, by the manifest as {wanted}. Compile the "
                    "model again."
                )
