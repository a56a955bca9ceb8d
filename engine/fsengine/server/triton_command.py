"""The command line of tritonserver, in its container or for a trial on loopback."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from pathlib import Path

from fsengine.errors import InvalidInputError
from fsengine.server.access.tls import ServerTls
from fsengine.server.listening import access_arguments, tls_arguments
from fsengine.server.loopback import is_unspecified_host

PINNED_MEMORY_MIB = 256
"""Triton's pool of pinned host memory, for what comes from and goes to clients; its own default."""

EXIT_TIMEOUT_S = 30
"""How long requests in flight are waited for; compose's `stop_grace_period` is longer."""

GRPC_THREADS = 8
"""Triton's own 2 hold an ensemble back (server documentation, inference protocols); it takes 2 to 128."""

LOAD_THREADS = 8
"""As many as there are steps."""

LOAD_THREADS_OF_PLANS = 1
"""CUDA graphs are captured while plans load, and what another model does on the GPU meanwhile breaks a capture (CUDA
error 906; reported for Triton 2.70)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TritonOptions:
    """How the server is started.

    Attributes:
        repository: Folder that it serves.
        num_gpus: GPUs that it uses; without one it has no pool there and no metrics of it.
        program: The server's program.
        address: Address that it listens on.
        http_port: Of health and HTTP.
        grpc_port: Of gRPC, which `fsclient --server` takes.
        metrics_port: Of the metrics.
        grpc_threads: Handlers of gRPC requests; 0 leaves it to the server (older ones than 24.12 know no such option).
        load_threads: Models that are loaded at once.
        exit_timeout_s: How long requests in flight are waited for at the end.
        pinned_memory_mib: See `PINNED_MEMORY_MIB`.
        cuda_memory_mib: Triton's pool on each GPU, where tensors between the steps lie. From an empty pool Triton falls
            back to memory of the host, with one warning, and pixels then cross the bus (triton-inference-server/core,
            memory.cc).
        every_model: Whether the server ends where a model does not load; otherwise it serves the others.
        tls: What gRPC shows of itself; None for plaintext.
        token: What callers have to show; None for nothing. It stands in the list of processes of the container.
        extra: Further options of tritonserver, as they are.
    """

    repository: Path
    num_gpus: int
    program: str = "tritonserver"
    address: str = "127.0.0.1"
    http_port: int = 8000
    grpc_port: int = 8001
    metrics_port: int = 8002
    grpc_threads: int = GRPC_THREADS
    load_threads: int = LOAD_THREADS
    exit_timeout_s: int = EXIT_TIMEOUT_S
    pinned_memory_mib: int = PINNED_MEMORY_MIB
    cuda_memory_mib: int = 0
    every_model: bool = True
    tls: ServerTls | None = None
    token: str | None = field(default=None, repr=False)
    extra: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        ports = (self.http_port, self.grpc_port, self.metrics_port)
        if len(set(ports)) != len(ports):
            raise InvalidInputError(f"HTTP, gRPC and metrics have ports {ports}, expected three different ones")
        if not all(0 < port < 1 << 16 for port in ports):
            raise InvalidInputError(f"HTTP, gRPC and metrics have ports {ports}, expected 1 to 65535")
        if min(self.exit_timeout_s, self.pinned_memory_mib, self.cuda_memory_mib) < 0:
            raise InvalidInputError("--exit-timeout, --pinned-memory and --cuda-memory must be 0 or more")
        if self.grpc_threads != 0 and not 2 <= self.grpc_threads <= 128:
            raise InvalidInputError(f"{self.grpc_threads} gRPC threads given; tritonserver takes 2 to 128 (0: its own)")
        if self.token is not None and self.restricts_itself:
            raise InvalidInputError(
                "--token-file and options of tritonserver that restrict protocols exclude each other, as Triton takes "
                "each protocol once; leave one of them out"
            )

    @property
    def local_url(self) -> str:
        """Return the address of HTTP, for this machine."""
        if is_unspecified_host(self.address):
            return f"http://127.0.0.1:{self.http_port}"
        host = f"[{self.address}]" if ":" in self.address and not self.address.startswith("[") else self.address
        return f"http://{host}:{self.http_port}"

    @property
    def restricts_itself(self) -> bool:
        """Return whether `extra` says by itself which protocols are closed."""
        return any("restricted" in option for option in self.extra)


def triton_command(options: TritonOptions) -> list[str]:
    """Return the server's command line.

    Models are those of the repository alone: no API loads others, since whoever writes a repository runs code. What
    changes the server, and shared memory of clients, is closed to everybody, by a key that nobody knows; inference and
    statistics are open to those who show the token, where there is one. `extra` may restrict protocols by itself.
    """
    command = [
        options.program,
        f"--model-repository={options.repository}",
        "--model-control-mode=none",
        "--disable-auto-complete-config",
        f"--strict-readiness={str(options.every_model).lower()}",
        f"--exit-on-error={str(options.every_model).lower()}",
        f"--exit-timeout-secs={options.exit_timeout_s}",
        f"--model-load-thread-count={options.load_threads}",
        f"--http-address={options.address}",
        f"--http-port={options.http_port}",
        f"--grpc-address={options.address}",
        f"--grpc-port={options.grpc_port}",
        "--allow-metrics=true",
        f"--allow-gpu-metrics={str(bool(options.num_gpus)).lower()}",
        f"--metrics-address={options.address}",
        f"--metrics-port={options.metrics_port}",
    ]
    if options.grpc_threads:
        command.append(f"--grpc-infer-thread-count={options.grpc_threads}")
    if options.num_gpus:
        command.append(f"--pinned-memory-pool-byte-size={options.pinned_memory_mib << 20}")
        pool = options.cuda_memory_mib << 20
        command += [f"--cuda-memory-pool-byte-size={gpu}:{pool}" for gpu in range(options.num_gpus)]
    command += tls_arguments(options.tls)
    if not options.restricts_itself:
        command += access_arguments(token=options.token, closed_key=secrets.token_hex(16))
    return [*command, *options.extra]
