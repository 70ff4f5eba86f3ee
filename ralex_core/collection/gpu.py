"""GPUs, where there are any: NVIDIA's through its own program `nvidia-smi`, AMD's through files of the kernel.

`nvidia-smi` takes a good part of a second. It is started rarely and never waited for: a later call takes what it said.
"""

from __future__ import annotations

import logging
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from ralex_core.clock import Clock
from ralex_core.storage.telemetry import GpuSample

_log = logging.getLogger(__name__)

DRM = Path("/sys/class/drm")
NVIDIA_EVERY_S = 30.0
NVIDIA_GIVE_UP_S = 20.0
"""A driver in trouble can hang `nvidia-smi`; it is ended then."""
MAX_GPUS = 16
_QUERY = "index,name,utilization.gpu,memory.used,memory.total,temperature.gpu,power.draw"
_AMD = "0x1002"
_MIB = 1 << 20


class Gpus:
    """All GPUs of this machine. Where there are none, `sample` costs nothing."""

    def __init__(self, clock: Clock, *, drm: Path = DRM, command: str = "nvidia-smi") -> None:
        """Looks once for what there is: GPUs do not come and go."""
        self._clock = clock
        program = shutil.which(command)
        self._nvidia = None if program is None else NvidiaSmi(clock, program)
        self._amd = amd_cards(drm)

    @property
    def present(self) -> bool:
        """Whether there is a GPU, or a program that may know of one."""
        return self._nvidia is not None or bool(self._amd)

    def sample(self) -> list[GpuSample]:
        """New readings; empty between two answers of `nvidia-smi`, and without a GPU."""
        found = [] if self._nvidia is None else self._nvidia.sample()
        found += [read_amd(card, self._clock.now_us()) for card in self._amd]
        return found[:MAX_GPUS]

    def close(self) -> None:
        """End a program that still runs."""
        if self._nvidia is not None:
            self._nvidia.close()


class NvidiaSmi:
    """The program `nvidia-smi`, asked every `NVIDIA_EVERY_S`."""

    def __init__(self, clock: Clock, program: str) -> None:
        self._clock = clock
        self._command = [program, f"--query-gpu={_QUERY}", "--format=csv,noheader,nounits"]
        self._running: subprocess.Popen[str] | None = None
        self._started_s = 0.0
        self._next_s = float("-inf")
        self._told = False

    def sample(self) -> list[GpuSample]:
        """What the program said since the last call; starts it when it is due."""
        now_s = self._clock.monotonic()
        if self._running is None:
            if now_s >= self._next_s:
                self._start(now_s)
            return []
        if self._running.poll() is None:
            if now_s - self._started_s >= NVIDIA_GIVE_UP_S:
                self._complain(f"it did not answer within {NVIDIA_GIVE_UP_S:.0f} s")
                self.close()
            return []
        text, _ = self._running.communicate()  # it has ended: this only reads what is in the pipe
        code, self._running = self._running.returncode, None
        if code != 0:
            self._complain(f"it ended with code {code}")
            return []
        self._told = False
        return parse_nvidia(text, self._clock.now_us())

    def close(self) -> None:
        if self._running is not None:
            self._running.kill()
            self._running.communicate()
            self._running = None

    def _start(self, now_s: float) -> None:
        self._started_s, self._next_s = now_s, now_s + NVIDIA_EVERY_S
        try:
            self._running = subprocess.Popen(  # noqa: S603 - the program that was found, without a shell
                self._command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
            )
        except OSError as error:
            self._complain(str(error))

    def _complain(self, reason: str) -> None:
        """Once, until it works again."""
        if not self._told:
            self._told = True
            _log.warning("%s does not tell of the GPUs: %s. They are left out.", self._command[0], reason)


def parse_nvidia(text: str, now_us: int) -> list[GpuSample]:
    """The lines of `nvidia-smi --query-gpu … --format=csv,noheader,nounits`; memory comes in MiB, what a card does not
    know as `[N/A]` or `[Not Supported]`. A line of another shape is left out."""
    found: list[GpuSample] = []
    for line in text.splitlines():
        fields = [field.strip() for field in line.split(",")]
        if len(fields) != 7 or not fields[0].isdigit():
            continue
        busy, used, total, temperature, power = (_number(field) for field in fields[2:])
        found.append(
            GpuSample(
                now_us,
                f"nvidia{fields[0]}",
                fields[1][:80],
                None if busy is None else busy / 100,
                None if used is None else round(used * _MIB),
                None if total is None else round(total * _MIB),
                temperature,
                power,
            )
        )
    return found


def amd_cards(drm: Path) -> list[Path]:
    """Device directories of AMD cards whose driver tells how busy they are, in order."""
    try:
        entries = sorted(path for path in drm.iterdir() if path.name.startswith("card") and path.name[4:].isdigit())
    except OSError:
        return []
    devices = [entry / "device" for entry in entries]
    return [device for device in devices if _text(device / "vendor") == _AMD and (device / "gpu_busy_percent").exists()]


def read_amd(device: Path, now_us: int) -> GpuSample:
    """One reading of a card; what its driver does not tell is None."""
    busy = _number(_text(device / "gpu_busy_percent"))
    used, total = _number(_text(device / "mem_info_vram_used")), _number(_text(device / "mem_info_vram_total"))
    sensors = sorted(device.glob("hwmon/hwmon*"))[:1]
    temperature, power = _sensor(sensors, ("temp1_input",)), _sensor(sensors, ("power1_average", "power1_input"))
    return GpuSample(
        now_us,
        f"amd{device.parent.name[4:]}",
        _text(device / "product_name")[:80] or "AMD GPU",
        None if busy is None else min(1.0, busy / 100),
        None if used is None else round(used),
        None if total is None else round(total),
        None if temperature is None else temperature / 1000,  # in thousandths of a degree
        None if power is None else power / 1_000_000,  # in µW
    )


def _sensor(directories: Sequence[Path], names: Sequence[str]) -> float | None:
    found = (_number(_text(directory / name)) for directory in directories for name in names)
    return next((value for value in found if value is not None), None)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if value >= 0 and value < float("inf") else None
