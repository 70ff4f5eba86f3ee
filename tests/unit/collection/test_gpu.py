"""GPUs: a program that speaks as nvidia-smi does, a directory laid out as the kernel lays out AMD's, and neither."""

from __future__ import annotations

import stat
import time
from pathlib import Path

import pytest

from ralex_core.clock import ManualClock
from ralex_core.collection.gpu import NVIDIA_EVERY_S, NVIDIA_GIVE_UP_S, Gpus, parse_nvidia
from ralex_core.storage.telemetry import GpuSample

MIB = 1 << 20
DEADLINE_S = 20.0
ANSWER = """0, NVIDIA L4, 37, 6144, 23034, 61, 54.31
1, Tesla K80, [N/A], 11, 11441, 33, [Not Supported]
"""


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """An executable called nvidia-smi; what it does is written by `says`."""
    return tmp_path / "nvidia-smi"


def says(program: Path, script: str) -> None:
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)


def answered(gpus: Gpus) -> list[GpuSample]:
    """Ask until the program, which nobody waits for, has answered."""
    until = time.monotonic() + DEADLINE_S
    while time.monotonic() < until:
        if found := gpus.sample():
            return found
    raise AssertionError("nvidia-smi did not answer")


def ended(gpus: Gpus) -> None:
    """Wait until the program that was started has ended, without asking for its answer."""
    running = gpus._nvidia._running  # type: ignore[union-attr]
    assert running is not None
    running.wait(DEADLINE_S)


def test_nvidias_program_is_asked_for_what_it_knows(tmp_path: Path, program: Path, clock: ManualClock) -> None:
    asked = tmp_path / "asked"
    says(program, f'echo "$@" >> {asked}\ncat <<END\n{ANSWER}END')
    gpus = Gpus(clock, drm=tmp_path / "none", command=str(program))
    assert gpus.present
    assert gpus.sample() == [], "it is not waited for"
    now = clock.now_us()
    assert answered(gpus) == [
        GpuSample(now, "nvidia0", "NVIDIA L4", 0.37, 6144 * MIB, 23034 * MIB, 61.0, 54.31),
        GpuSample(now, "nvidia1", "Tesla K80", None, 11 * MIB, 11441 * MIB, 33.0, None),
    ]
    assert gpus.sample() == [], "and not asked again at once"
    clock.advance(NVIDIA_EVERY_S)
    assert len(answered(gpus)) == 2
    assert asked.read_text().splitlines() == 2 * [
        "--query-gpu=index,name,utilization.gpu,memory.used,memory.total,temperature.gpu,power.draw "
        "--format=csv,noheader,nounits"
    ]


def test_a_driver_in_trouble_is_told_once_and_tried_again(
    tmp_path: Path, program: Path, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    says(program, "echo 'NVIDIA-SMI has failed'; exit 9")
    gpus = Gpus(clock, drm=tmp_path / "none", command=str(program))
    for _ in range(3):
        gpus.sample()
        ended(gpus)
        assert gpus.sample() == []
        clock.advance(NVIDIA_EVERY_S)
    assert caplog.text.count("ended with code 9") == 1
    says(program, f"cat <<END\n{ANSWER}END")
    assert len(answered(gpus)) == 2


def test_a_program_that_hangs_is_ended(
    tmp_path: Path, program: Path, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    says(program, "exec sleep 600")
    gpus = Gpus(clock, drm=tmp_path / "none", command=str(program))
    gpus.sample()
    running = gpus._nvidia._running  # type: ignore[union-attr]
    assert running is not None
    clock.advance(NVIDIA_GIVE_UP_S)
    assert gpus.sample() == []
    assert running.returncode is not None
    assert "did not answer" in caplog.text
    clock.advance(NVIDIA_EVERY_S)
    gpus.sample()
    running = gpus._nvidia._running  # type: ignore[union-attr]
    gpus.close()
    assert running is not None and running.returncode is not None


@pytest.mark.parametrize("text", ["", "No devices were found\n", "0, x\n", "a, b, c, d, e, f, g\n", "\0\n,,,,,,\n"])
def test_an_answer_of_another_shape_is_left_out(text: str) -> None:
    assert parse_nvidia(text, 1) == []


def card(drm: Path, number: int, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = drm / f"card{number}" / "device" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")


def test_amds_cards_are_read_from_the_kernels_files(tmp_path: Path, clock: ManualClock) -> None:
    drm = tmp_path / "drm"
    card(drm, 0, {"vendor": "0x8086"})  # graphics of the processor
    card(
        drm,
        1,
        {
            "vendor": "0x1002",
            "gpu_busy_percent": "42",
            "mem_info_vram_used": "1073741824",
            "mem_info_vram_total": "17163091968",
            "hwmon/hwmon3/temp1_input": "58000",
            "hwmon/hwmon3/power1_average": "87000000",
            "product_name": "Radeon RX 7800 XT",
        },
    )
    card(drm, 2, {"vendor": "0x1002", "gpu_busy_percent": "nonsense"})
    (drm / "card1-DP-1").mkdir()
    gpus = Gpus(clock, drm=drm, command="no-such-program")
    now = clock.now_us()
    assert gpus.sample() == [
        GpuSample(now, "amd1", "Radeon RX 7800 XT", 0.42, 1 << 30, 17_163_091_968, 58.0, 87.0),
        GpuSample(now, "amd2", "AMD GPU", None, None, None, None, None),
    ]


def test_without_a_gpu_nothing_is_read(tmp_path: Path, clock: ManualClock) -> None:
    gpus = Gpus(clock, drm=tmp_path / "none", command="no-such-program")
    assert (gpus.present, gpus.sample()) == (False, [])
    gpus.close()
