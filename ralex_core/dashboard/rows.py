"""Stored records as the rows that pages and the API show."""

from __future__ import annotations

from urllib.parse import quote

from ralex_core.dashboard.contexts.rows import FeedItem, OperationRow, ResourcePoint
from ralex_core.model.operation import Operation
from ralex_core.render import to_iso
from ralex_core.storage.telemetry import ResourceSample


def operation_href(operation_id: str) -> str:
    """The page of one operation; ids come from outside and may hold anything."""
    return f"/operations/{quote(operation_id, safe='')}"


def feed_item(op: Operation) -> FeedItem:
    return FeedItem(
        operation_id=op.operation_id,
        started_at=to_iso(op.started_at) or "",
        started_us=op.started_at,
        kind=op.kind,
        name=op.name,
        model=op.model,
        tier=op.tier,
        project=op.project,
        user=op.user_id,
        status=op.status,
        duration_ms=op.duration_ms,
        input_tokens=op.input_tokens,
        output_tokens=op.output_tokens,
        cost_usd=op.cost_usd,
        cost_basis=op.cost_basis,
        quarantined=op.quarantine is not None,
        outcome=op.outcome,
        href=operation_href(op.operation_id),
    )


def operation_row(op: Operation) -> OperationRow:
    return OperationRow(
        operation_id=op.operation_id,
        started_at=to_iso(op.started_at) or "",
        started_us=op.started_at,
        kind=op.kind,
        name=op.name,
        model=op.model,
        tier=op.tier,
        project=op.project,
        user=op.user_id,
        status=op.status,
        duration_ms=op.duration_ms,
        input_tokens=op.input_tokens,
        output_tokens=op.output_tokens,
        cost_usd=op.cost_usd,
        cost_basis=op.cost_basis,
        quarantined=op.quarantine is not None,
        outcome=op.outcome,
        href=operation_href(op.operation_id),
        provider=op.provider,
        service=op.service,
        session=op.session_id,
        client=op.client,
        ttft_ms=op.ttft_ms,
        error_type=op.error_type,
        attempt=op.attempt,
        trace_id=op.trace_id,
        cache_read_tokens=op.cache_read_tokens,
        reported_usd=op.reported_usd,
        computed_usd=op.computed_usd,
        billed_usd=op.billed_usd,
        door=op.door,
    )


def resource_point(sample: ResourceSample) -> ResourcePoint:
    return ResourcePoint(
        sampled_at=to_iso(sample.sampled_at) or "",
        cpu_ratio=sample.cpu_ratio,
        load_1m=sample.load_1m,
        memory_used_bytes=sample.memory_used_bytes,
        memory_total_bytes=sample.memory_total_bytes,
        disk_used_bytes=sample.disk_used_bytes,
        disk_total_bytes=sample.disk_total_bytes,
        disk_read_bytes_s=sample.disk_read_bytes_s,
        disk_write_bytes_s=sample.disk_write_bytes_s,
        net_received_bytes_s=sample.net_received_bytes_s,
        net_sent_bytes_s=sample.net_sent_bytes_s,
        process_cpu_ratio=sample.process_cpu_ratio,
        process_rss_bytes=sample.process_rss_bytes,
        cores=sample.cores,
        busiest_core_ratio=sample.busiest_core_ratio,
        iowait_ratio=sample.iowait_ratio,
        throttled_ratio=sample.throttled_ratio,
        swap_used_bytes=sample.swap_used_bytes,
        swap_total_bytes=sample.swap_total_bytes,
        open_files=sample.open_files,
        open_files_limit=sample.open_files_limit,
        process_open_files=sample.process_open_files,
        process_open_files_limit=sample.process_open_files_limit,
        process_threads=sample.process_threads,
    )
