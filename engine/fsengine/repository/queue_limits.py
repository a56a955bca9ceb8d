"""How much a step lets wait: a server that is asked for more than it can do refuses at once what it would answer too
late, and is well again as soon as the rush is over.

A refused request is UNAVAILABLE: "Exceeds maximum queue size", or "Request timeout expired" after its time in a queue.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fsengine.contracts import steps

if TYPE_CHECKING:
    from tritonclient.grpc import model_config_pb2 as pb

QUEUED_PHOTOS = {steps.DECODE: 8, steps.DECODE_ISOLATED: 8, steps.DETECT: 12, steps.EMBED: 8}
"""Photos that may wait for a step on a CPU; `fsclient ingest` has 8 in flight. Decoding is the quickest: a limit on it
alone sheds nothing, and a longer queue before it than before detect has photos decoded in vain
(docs/background/performance.md).

Triton before 26.03 hangs a request of which one step is refused while another is in flight. The heads run beside each
other and have no limit; the encoder comes before a head that reads crops, and is refused before that is asked.
"""

GPU_FACTOR = 16
"""A GPU gets through so many times as many in the same time, or more."""

LONGEST_WAIT_S = {steps.DECODE: 30, steps.DECODE_ISOLATED: 30, steps.DETECT: 30, steps.EMBED: 60}
"""Time in one queue. The encoder's is longer: one crowd keeps CLIP busy for 20 s on two cores."""


def limit_queue(config: pb.ModelConfig, *, on_gpu: bool) -> None:
    """Write the limits of a step into its configuration.

    Args:
        config: Adapted in place; one without a limit is left as it is.
        on_gpu: Whether it is served on a GPU.
    """
    if config.name in QUEUED_PHOTOS:
        policy = config.dynamic_batching.default_queue_policy
        policy.timeout_action = policy.REJECT
        policy.default_timeout_microseconds = LONGEST_WAIT_S[config.name] * 1_000_000
        policy.max_queue_size = QUEUED_PHOTOS[config.name] * (GPU_FACTOR if on_gpu else 1)
