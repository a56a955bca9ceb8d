"""The offer of int8 for a CLIP encoder on a CPU: what it would give here, and what it would cost."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from fsclient.models.build_on_request import BuildChoice, packs_on_request
from fsengine.contracts.steps import EMBED
from fsengine.errors import FaceStatsError
from fsengine.gpu import find_gpu
from fsengine.repository.assemble import Target

CPU_INFO = Path("/proc/cpuinfo")

VNNI = frozenset({"avx512_vnni", "avx_vnni"})
"""Instructions that multiply int8 four at a time, as the kernel names them."""

VNNI_SPEED, AVX2_SPEED = 2.3, 1.4
"""Times fp32's speed, in batches of 4, on CPUs with and without VNNI; see docs/guides/models.md."""


def cpu_flags(cpu_info: Path = CPU_INFO) -> frozenset[str]:
    """Return the instruction sets of this machine's first core as the kernel names them; none where it does not tell.

    Args:
        cpu_info: The kernel's description of the cores.
    """
    with suppress(OSError):
        for line in cpu_info.read_text().splitlines():
            name, _, flags = line.partition(":")
            if name.strip() == "flags":
                return frozenset(flags.split())
    return frozenset()


def int8_offer(flags: frozenset[str]) -> str | None:
    """Return one line that offers int8 on a CPU; None where it is not known to be faster.

    Args:
        flags: Of the CPU, from `cpu_flags`.
    """
    if flags & VNNI:
        speed = f"{VNNI_SPEED} times as fast on this CPU (VNNI)"
    elif "avx2" in flags:
        speed = f"{AVX2_SPEED} times as fast on this CPU (AVX2; {VNNI_SPEED} with VNNI)"
    else:
        return None
    return (
        f"note: --precision int8 makes the encoder about {speed}. It turns embeddings by cosine 0.9995 (with seeded "
        "weights), and an error of that size moves FaceStats v4's attractiveness by 0.002 to 0.013, its percentile by "
        "0.7 to 3.9, the ethnicity of 0.3 to 0.7 % of faces and the gender of 0.1 to 0.4 %; an age read from pixels "
        "stays. See docs/guides/models.md"
    )


def offer_for(pack: str, choice: BuildChoice, target: Target) -> str | None:
    """Return the line that follows the build of a pack; None where int8 is no choice for it.

    Args:
        pack: Name or folder of what was built.
        choice: How.
        target: Who serves it.
    """
    own_encoder = pack not in packs_on_request() or EMBED in choice.use
    if own_encoder or choice.precision != BuildChoice().precision or target is not Target.PIP or has_gpu():
        return None
    return int8_offer(cpu_flags())


def has_gpu() -> bool:
    """Return whether this machine has an NVIDIA GPU that models could run on."""
    with suppress(FaceStatsError):
        find_gpu()
        return True
    return False
