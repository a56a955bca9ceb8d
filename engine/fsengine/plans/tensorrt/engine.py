"""Run a plan on arrays of the host: for parity checks, benchmarks and the embedded server's backend."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from fsengine.contracts.tensors import DType
from fsengine.errors import MissingDependencyError, PackError, ServerError
from fsengine.plans.tensorrt.library import last_words, on_gpu, tensorrt_logger, tensorrt_version

if TYPE_CHECKING:
    from typing_extensions import Buffer


class PlanEngine:
    """One plan on one GPU. Not for several threads at once.

    Attributes:
        inputs: Names of its inputs.
        outputs: Names of its outputs.
        work_mib: Memory that one execution takes on top of weights, inputs and outputs.
    """

    def __init__(self, plan: Path, device: int = 0) -> None:
        """Load a plan.

        Args:
            plan: Its file.
            device: Number of the GPU.

        Raises:
            MissingDependencyError: TensorRT or CUDA's Python bindings are not installed.
            ServerError: TensorRT cannot use the GPU, or it has no room.
            PackError: The plan is of another TensorRT or another GPU.
        """
        version = tensorrt_version()
        import tensorrt as trt

        self._cuda = _Cuda(device)
        self._errors: list[str] = []
        self._logger = tensorrt_logger(self._errors)
        self._runtime = on_gpu(lambda: trt.Runtime(self._logger), self._errors)
        self._engine = self._runtime.deserialize_cuda_engine(cast("Buffer", plan.read_bytes()))
        if self._engine is None:
            raise PackError(
                f"{plan} does not load in TensorRT {version} on this GPU ({last_words(self._errors)}); "
                "build plans on the machine that serves them: fsengine build"
            )
        self._context = self._engine.create_execution_context()
        if self._context is None:
            raise ServerError(f"the GPU has no room to run {plan}: {last_words(self._errors)}")
        self.work_mib = self._engine.device_memory_size_v2 / (1 << 20)
        self._types: dict[str, np.dtype[Any]] = {}
        self.inputs: list[str] = []
        self.outputs: list[str] = []
        for index in range(self._engine.num_io_tensors):
            name = self._engine.get_tensor_name(index)
            self._types[name] = self._dtype(plan, name)
            is_input = self._engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT
            (self.inputs if is_input else self.outputs).append(name)
        self._memory = {name: _Memory(self._cuda) for name in (*self.inputs, *self.outputs)}
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._allocators = {name: self._allocator(name) for name in self.outputs}
        for name, allocator in self._allocators.items():
            self._context.set_output_allocator(name, allocator)

    def _dtype(self, plan: Path, name: str) -> np.dtype[Any]:
        """Return the NumPy type of an input or output.

        Raises:
            PackError: No tensor of ours has it.
        """
        found = self._engine.get_tensor_dtype(name).name
        dtype = DType.from_tensorrt(found)
        if dtype is None:
            known = ", ".join(item.tensorrt for item in DType)
            raise PackError(f"{plan}: {name} has the type {found}, expected one of {known}; build the plan again")
        return np.dtype(dtype.numpy)

    def run(self, feed: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run the plan once.

        Args:
            feed: Every input, of the plan's own type and within the shapes that it was built for.

        Returns:
            Every output.

        Raises:
            PackError: An input is missing or does not suit the plan, or the run failed.
        """
        self._put(feed)
        self._enqueue()
        outputs = {name: np.empty(self._shapes[name], self._types[name]) for name in self.outputs}
        for name, array in outputs.items():
            if array.nbytes:
                self._cuda.download(array, self._memory[name].address)
        self._cuda.wait()
        return outputs

    def seconds_per_run(self, feed: dict[str, NDArray[Any]], repeats: int) -> float:
        """Time the plan without copies between host and GPU: runs are queued one after the other and waited for once.

        Args:
            feed: See `run`.
            repeats: Runs, 1 or more; one more before them, in which outputs get their memory, is not timed.

        Returns:
            Seconds of one run, a mean.

        Raises:
            PackError: See `run`.
        """
        self._put(feed)
        self._enqueue()
        self._cuda.wait()
        started = time.perf_counter()
        for _ in range(repeats):
            self._enqueue()
        self._cuda.wait()
        return (time.perf_counter() - started) / repeats

    def close(self) -> None:
        """Free what it holds on the GPU; it cannot be run any more."""
        for memory in self._memory.values():
            memory.free()
        del self._context, self._engine
        self._cuda.close()

    def _put(self, feed: dict[str, NDArray[Any]]) -> None:
        """Upload every input and tell the plan its shape.

        Raises:
            PackError: An input is missing or does not suit the plan.
        """
        if set(feed) != set(self.inputs):
            raise PackError(f"the plan takes {sorted(self.inputs)}, found {sorted(feed)}")
        self._errors.clear()
        for name, array in feed.items():
            if array.dtype != self._types[name]:
                raise PackError(f"{name} is {array.dtype}, the plan takes {self._types[name]}")
            if not self._context.set_input_shape(name, tuple(array.shape)):
                raise PackError(f"the plan was not built for {name} of shape {array.shape}: {last_words(self._errors)}")
            memory = self._memory[name]
            memory.grow(array.nbytes)
            self._cuda.upload(memory.address, np.ascontiguousarray(array))
            self._context.set_tensor_address(name, memory.address)

    def _enqueue(self) -> None:
        """Queue one run of what was put.

        Raises:
            PackError: TensorRT refused it.
        """
        if not self._context.execute_async_v3(self._cuda.stream):
            raise PackError(f"the plan failed: {last_words(self._errors)}")

    def _allocator(self, output: str) -> Any:
        """Return what gives TensorRT memory for an output, whose shape may depend on data."""
        import tensorrt as trt

        memory, shapes = self._memory[output], self._shapes

        class Allocator(trt.IOutputAllocator):
            """One output's memory, which only grows."""

            def __init__(self) -> None:
                trt.IOutputAllocator.__init__(self)

            def reallocate_output_async(
                self, tensor_name: str, current: int, size: int, alignment: int, stream: int
            ) -> int:
                memory.grow(size)
                return memory.address

            def reallocate_output(self, tensor_name: str, current: int, size: int, alignment: int) -> int:
                memory.grow(size)
                return memory.address

            def notify_shape(self, tensor_name: str, shape: Any) -> None:
                shapes[output] = tuple(shape)

        return Allocator()


class _Memory:
    """Memory on the GPU that only grows, so that it stays flat over requests of mixed sizes."""

    def __init__(self, cuda: _Cuda) -> None:
        self._cuda = cuda
        self._size = 0
        self.address = 0

    def grow(self, size: int) -> None:
        if size > self._size or not self.address:
            self.free()
            self.address = self._cuda.allocate(max(size, 1))
            self._size = size

    def free(self) -> None:
        if self.address:
            self._cuda.release(self.address)
        self.address = self._size = 0


class _Cuda:
    """The few calls of the CUDA runtime that a run needs."""

    def __init__(self, device: int) -> None:
        try:
            from cuda.bindings import runtime
        except ImportError as exc:
            raise MissingDependencyError(
                f"CUDA's Python bindings do not load ({exc}); running plans outside of Triton needs them: "
                "pip install cuda-bindings"
            ) from exc
        self._runtime = runtime
        self._call(runtime.cudaSetDevice(device))
        self.stream = int(self._call(runtime.cudaStreamCreate()))

    def allocate(self, size: int) -> int:
        # Work in flight may still use what was freed before.
        self.wait()
        return int(self._call(self._runtime.cudaMalloc(size)))

    def release(self, address: int) -> None:
        self.wait()
        self._call(self._runtime.cudaFree(address))

    def upload(self, address: int, array: NDArray[Any]) -> None:
        kind = self._runtime.cudaMemcpyKind.cudaMemcpyHostToDevice
        self._call(self._runtime.cudaMemcpyAsync(address, array.ctypes.data, array.nbytes, kind, self.stream))
        # The array may be a copy that is gone before the stream gets to it.
        self.wait()

    def download(self, array: NDArray[Any], address: int) -> None:
        kind = self._runtime.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._call(self._runtime.cudaMemcpyAsync(array.ctypes.data, address, array.nbytes, kind, self.stream))

    def close(self) -> None:
        self._call(self._runtime.cudaStreamDestroy(self.stream))

    def wait(self) -> None:
        self._call(self._runtime.cudaStreamSynchronize(self.stream))

    def _call(self, answer: tuple[Any, ...]) -> Any:
        """Return what a call gave.

        Raises:
            PackError: It failed.
        """
        error, *values = answer
        if error != self._runtime.cudaError_t.cudaSuccess:
            _, text = self._runtime.cudaGetErrorString(error)
            raise PackError(f"CUDA failed: {text.decode() if isinstance(text, bytes) else text}")
        return values[0] if values else None
