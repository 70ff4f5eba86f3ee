"""Records of resources with every field given, and any of them changed."""

from __future__ import annotations

from typing import Any

from ralex_core.storage.telemetry import GpuSample, ProcessSample, ResourceSample

GIB = 1 << 30


def make_sample(sampled_at: int, **changed: Any) -> ResourceSample:
    """A calm machine of four cores at that moment."""
    return ResourceSample(
        sampled_at=sampled_at,
        cpu_ratio=0.25,
        load_1m=0.5,
        memory_used_bytes=6 * GIB,
        memory_total_bytes=16 * GIB,
        swap_used_bytes=0,
        disk_used_bytes=100 * GIB,
        disk_total_bytes=500 * GIB,
        disk_read_bytes_s=2_000.0,
        disk_write_bytes_s=500.0,
        net_received_bytes_s=300.0,
        net_sent_bytes_s=100.0,
        process_cpu_ratio=0.01,
        process_rss_bytes=80 << 20,
        process_open_files=12,
        process_threads=5,
    )._replace(**changed)


def make_process(sampled_at: int, pid: int = 100, **changed: Any) -> ProcessSample:
    """An assistant with one child, half a core busy."""
    return ProcessSample(
        sampled_at=sampled_at,
        pid=pid,
        started_at=1_000_000,
        name="claude",
        processes=2,
        cpu_ratio=0.5,
        rss_bytes=300 << 20,
        threads=14,
        open_files=40,
        read_bytes_s=0.0,
        write_bytes_s=1_000.0,
    )._replace(**changed)


def make_gpu(sampled_at: int, **changed: Any) -> GpuSample:
    """A card with a quarter of its memory in use."""
    return GpuSample(
        sampled_at=sampled_at,
        gpu="nvidia0",
        name="NVIDIA L4",
        busy_ratio=0.4,
        memory_used_bytes=6 * GIB,
        memory_total_bytes=24 * GIB,
        temperature_c=61.0,
        power_w=54.3,
    )._replace(**changed)
