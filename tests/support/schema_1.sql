-- The telemetry store as version 1 made it. Never changed: files like this are on people's machines.
create table meta (key VARCHAR primary key, value VARCHAR);
insert into meta values ('schema_version', '1');
create table operations (operation_id VARCHAR, kind VARCHAR, name VARCHAR, started_at BIGINT, duration_ms DOUBLE, status VARCHAR, trace_id VARCHAR, span_id
VARCHAR, parent_span_id VARCHAR, ttft_ms DOUBLE, error_type VARCHAR, http_status INTEGER, attempt INTEGER, service VARCHAR, project VARCHAR, client VARCHAR,
user_id VARCHAR, session_id VARCHAR, feature VARCHAR, workflow VARCHAR, provider VARCHAR, requested_model VARCHAR, model VARCHAR, service_tier VARCHAR,
input_tokens BIGINT, cache_read_tokens BIGINT, cache_write_tokens BIGINT, cache_write_1h_tokens BIGINT, output_tokens BIGINT, reasoning_tokens BIGINT,
reported_usd DECIMAL(38,18), billed_usd DECIMAL(38,18), tier VARCHAR, computed_usd DECIMAL(38,18), cost_usd DECIMAL(38,18), cost_basis VARCHAR, quarantine
VARCHAR, price_version VARCHAR, baseline_usd DECIMAL(38,18), outcome VARCHAR, value_usd DECIMAL(38,18), door VARCHAR, source VARCHAR, provider_request_id
VARCHAR, revision BIGINT, attributes VARCHAR, duration_bin SMALLINT);
create view operations_view as select make_timestamp(started_at) as started_at_utc, * exclude (duration_bin) from operations;
create table resource_samples (sampled_at BIGINT, cpu_ratio DOUBLE, load_1m DOUBLE, memory_used_bytes BIGINT, memory_total_bytes BIGINT, swap_used_bytes
BIGINT, disk_used_bytes BIGINT, disk_total_bytes BIGINT, disk_read_bytes_s DOUBLE, disk_write_bytes_s DOUBLE, net_received_bytes_s DOUBLE, net_sent_bytes_s
DOUBLE, process_cpu_ratio DOUBLE, process_rss_bytes BIGINT, process_open_files BIGINT, process_threads BIGINT);
create table dirty (grain VARCHAR, bucket BIGINT);
create table rollup_model_minute (bucket BIGINT, kind VARCHAR, project VARCHAR, provider VARCHAR, model VARCHAR, tier VARCHAR, operations BIGINT, errors
BIGINT, billable BIGINT, priced BIGINT, successes BIGINT, basis_billed BIGINT, basis_computed BIGINT, basis_reported BIGINT, input_tokens BIGINT,
cache_read_tokens BIGINT, cache_write_tokens BIGINT, output_tokens BIGINT, reasoning_tokens BIGINT, cost_usd DECIMAL(38,18), reported_usd DECIMAL(38,18),
computed_usd DECIMAL(38,18), billed_usd DECIMAL(38,18), quarantined BIGINT, quarantined_usd DECIMAL(38,18), baseline_success_usd DECIMAL(38,18), value_usd
DECIMAL(38,18), drift_reported_usd DECIMAL(38,18), drift_billed_usd DECIMAL(38,18), duration_ms DOUBLE, timed BIGINT, ttft_ms DOUBLE, ttft_timed BIGINT);
create table rollup_name_minute (bucket BIGINT, kind VARCHAR, name VARCHAR, project VARCHAR, operations BIGINT, errors BIGINT, billable BIGINT, priced BIGINT,
successes BIGINT, basis_billed BIGINT, basis_computed BIGINT, basis_reported BIGINT, input_tokens BIGINT, cache_read_tokens BIGINT, cache_write_tokens BIGINT,
output_tokens BIGINT, reasoning_tokens BIGINT, cost_usd DECIMAL(38,18), reported_usd DECIMAL(38,18), computed_usd DECIMAL(38,18), billed_usd DECIMAL(38,18),
quarantined BIGINT, quarantined_usd DECIMAL(38,18), baseline_success_usd DECIMAL(38,18), value_usd DECIMAL(38,18), drift_reported_usd DECIMAL(38,18),
drift_billed_usd DECIMAL(38,18), duration_ms DOUBLE, timed BIGINT, ttft_ms DOUBLE, ttft_timed BIGINT);
create table rollup_client_minute (bucket BIGINT, kind VARCHAR, client VARCHAR, project VARCHAR, operations BIGINT, errors BIGINT, billable BIGINT, priced
BIGINT, successes BIGINT, basis_billed BIGINT, basis_computed BIGINT, basis_reported BIGINT, input_tokens BIGINT, cache_read_tokens BIGINT, cache_write_tokens
BIGINT, output_tokens BIGINT, reasoning_tokens BIGINT, cost_usd DECIMAL(38,18), reported_usd DECIMAL(38,18), computed_usd DECIMAL(38,18), billed_usd
DECIMAL(38,18), quarantined BIGINT, quarantined_usd DECIMAL(38,18), baseline_success_usd DECIMAL(38,18), value_usd DECIMAL(38,18), drift_reported_usd
DECIMAL(38,18), drift_billed_usd DECIMAL(38,18), duration_ms DOUBLE, timed BIGINT, ttft_ms DOUBLE, ttft_timed BIGINT);
create table latency_kind_minute (bucket BIGINT, kind VARCHAR, bin SMALLINT, n BIGINT);
create table latency_project_minute (bucket BIGINT, kind VARCHAR, project VARCHAR, bin SMALLINT, n BIGINT);
create table latency_name_minute (bucket BIGINT, kind VARCHAR, name VARCHAR, bin SMALLINT, n BIGINT);
create table latency_model_minute (bucket BIGINT, kind VARCHAR, provider VARCHAR, model VARCHAR, tier VARCHAR, bin SMALLINT, n BIGINT);
create table rollup_model_hour (bucket BIGINT, kind VARCHAR, project VARCHAR, provider VARCHAR, model VARCHAR, tier VARCHAR, operations BIGINT, errors BIGINT,
billable BIGINT, priced BIGINT, successes BIGINT, basis_billed BIGINT, basis_computed BIGINT, basis_reported BIGINT, input_tokens BIGINT, cache_read_tokens
BIGINT, cache_write_tokens BIGINT, output_tokens BIGINT, reasoning_tokens BIGINT, cost_usd DECIMAL(38,18), reported_usd DECIMAL(38,18), computed_usd
DECIMAL(38,18), billed_usd DECIMAL(38,18), quarantined BIGINT, quarantined_usd DECIMAL(38,18), baseline_success_usd DECIMAL(38,18), value_usd DECIMAL(38,18),
drift_reported_usd DECIMAL(38,18), drift_billed_usd DECIMAL(38,18), duration_ms DOUBLE, timed BIGINT, ttft_ms DOUBLE, ttft_timed BIGINT);
create table rollup_name_hour (bucket BIGINT, kind VARCHAR, name VARCHAR, project VARCHAR, operations BIGINT, errors BIGINT, billable BIGINT, priced BIGINT,
successes BIGINT, basis_billed BIGINT, basis_computed BIGINT, basis_reported BIGINT, input_tokens BIGINT, cache_read_tokens BIGINT, cache_write_tokens BIGINT,
output_tokens BIGINT, reasoning_tokens BIGINT, cost_usd DECIMAL(38,18), reported_usd DECIMAL(38,18), computed_usd DECIMAL(38,18), billed_usd DECIMAL(38,18),
quarantined BIGINT, quarantined_usd DECIMAL(38,18), baseline_success_usd DECIMAL(38,18), value_usd DECIMAL(38,18), drift_reported_usd DECIMAL(38,18),
drift_billed_usd DECIMAL(38,18), duration_ms DOUBLE, timed BIGINT, ttft_ms DOUBLE, ttft_timed BIGINT);
create table rollup_client_hour (bucket BIGINT, kind VARCHAR, client VARCHAR, project VARCHAR, operations BIGINT, errors BIGINT, billable BIGINT, priced
BIGINT, successes BIGINT, basis_billed BIGINT, basis_computed BIGINT, basis_reported BIGINT, input_tokens BIGINT, cache_read_tokens BIGINT, cache_write_tokens
BIGINT, output_tokens BIGINT, reasoning_tokens BIGINT, cost_usd DECIMAL(38,18), reported_usd DECIMAL(38,18), computed_usd DECIMAL(38,18), billed_usd
DECIMAL(38,18), quarantined BIGINT, quarantined_usd DECIMAL(38,18), baseline_success_usd DECIMAL(38,18), value_usd DECIMAL(38,18), drift_reported_usd
DECIMAL(38,18), drift_billed_usd DECIMAL(38,18), duration_ms DOUBLE, timed BIGINT, ttft_ms DOUBLE, ttft_timed BIGINT);
create table rollup_user_hour (bucket BIGINT, kind VARCHAR, user_id VARCHAR, model VARCHAR, tier VARCHAR, operations BIGINT, errors BIGINT, billable BIGINT,
priced BIGINT, successes BIGINT, basis_billed BIGINT, basis_computed BIGINT, basis_reported BIGINT, input_tokens BIGINT, cache_read_tokens BIGINT,
cache_write_tokens BIGINT, output_tokens BIGINT, reasoning_tokens BIGINT, cost_usd DECIMAL(38,18), reported_usd DECIMAL(38,18), computed_usd DECIMAL(38,18),
billed_usd DECIMAL(38,18), quarantined BIGINT, quarantined_usd DECIMAL(38,18), baseline_success_usd DECIMAL(38,18), value_usd DECIMAL(38,18),
drift_reported_usd DECIMAL(38,18), drift_billed_usd DECIMAL(38,18), duration_ms DOUBLE, timed BIGINT, ttft_ms DOUBLE, ttft_timed BIGINT);
create table rollup_session_hour (bucket BIGINT, kind VARCHAR, session_id VARCHAR, operations BIGINT, errors BIGINT, billable BIGINT, priced BIGINT, successes
BIGINT, basis_billed BIGINT, basis_computed BIGINT, basis_reported BIGINT, input_tokens BIGINT, cache_read_tokens BIGINT, cache_write_tokens BIGINT,
output_tokens BIGINT, reasoning_tokens BIGINT, cost_usd DECIMAL(38,18), reported_usd DECIMAL(38,18), computed_usd DECIMAL(38,18), billed_usd DECIMAL(38,18),
quarantined BIGINT, quarantined_usd DECIMAL(38,18), baseline_success_usd DECIMAL(38,18), value_usd DECIMAL(38,18), drift_reported_usd DECIMAL(38,18),
drift_billed_usd DECIMAL(38,18), duration_ms DOUBLE, timed BIGINT, ttft_ms DOUBLE, ttft_timed BIGINT);
create table latency_kind_hour (bucket BIGINT, kind VARCHAR, bin SMALLINT, n BIGINT);
create table latency_project_hour (bucket BIGINT, kind VARCHAR, project VARCHAR, bin SMALLINT, n BIGINT);
create table latency_name_hour (bucket BIGINT, kind VARCHAR, name VARCHAR, bin SMALLINT, n BIGINT);
create table latency_model_hour (bucket BIGINT, kind VARCHAR, provider VARCHAR, model VARCHAR, tier VARCHAR, bin SMALLINT, n BIGINT);
create table latency_user_hour (bucket BIGINT, kind VARCHAR, user_id VARCHAR, bin SMALLINT, n BIGINT);
create table latency_project_model_hour (bucket BIGINT, kind VARCHAR, project VARCHAR, provider VARCHAR, model VARCHAR, tier VARCHAR, bin SMALLINT, n BIGINT);
create table rollup_model_day (bucket BIGINT, kind VARCHAR, project VARCHAR, provider VARCHAR, model VARCHAR, tier VARCHAR, operations BIGINT, errors BIGINT,
billable BIGINT, priced BIGINT, successes BIGINT, basis_billed BIGINT, basis_computed BIGINT, basis_reported BIGINT, input_tokens BIGINT, cache_read_tokens
BIGINT, cache_write_tokens BIGINT, output_tokens BIGINT, reasoning_tokens BIGINT, cost_usd DECIMAL(38,18), reported_usd DECIMAL(38,18), computed_usd
DECIMAL(38,18), billed_usd DECIMAL(38,18), quarantined BIGINT, quarantined_usd DECIMAL(38,18), baseline_success_usd DECIMAL(38,18), value_usd DECIMAL(38,18),
drift_reported_usd DECIMAL(38,18), drift_billed_usd DECIMAL(38,18), duration_ms DOUBLE, timed BIGINT, ttft_ms DOUBLE, ttft_timed BIGINT);
create table rollup_name_day (bucket BIGINT, kind VARCHAR, name VARCHAR, project VARCHAR, operations BIGINT, errors BIGINT, billable BIGINT, priced BIGINT,
successes BIGINT, basis_billed BIGINT, basis_computed BIGINT, basis_reported BIGINT, input_tokens BIGINT, cache_read_tokens BIGINT, cache_write_tokens BIGINT,
output_tokens BIGINT, reasoning_tokens BIGINT, cost_usd DECIMAL(38,18), reported_usd DECIMAL(38,18), computed_usd DECIMAL(38,18), billed_usd DECIMAL(38,18),
quarantined BIGINT, quarantined_usd DECIMAL(38,18), baseline_success_usd DECIMAL(38,18), value_usd DECIMAL(38,18), drift_reported_usd DECIMAL(38,18),
drift_billed_usd DECIMAL(38,18), duration_ms DOUBLE, timed BIGINT, ttft_ms DOUBLE, ttft_timed BIGINT);
create table rollup_client_day (bucket BIGINT, kind VARCHAR, client VARCHAR, project VARCHAR, operations BIGINT, errors BIGINT, billable BIGINT, priced BIGINT,
successes BIGINT, basis_billed BIGINT, basis_computed BIGINT, basis_reported BIGINT, input_tokens BIGINT, cache_read_tokens BIGINT, cache_write_tokens BIGINT,
output_tokens BIGINT, reasoning_tokens BIGINT, cost_usd DECIMAL(38,18), reported_usd DECIMAL(38,18), computed_usd DECIMAL(38,18), billed_usd DECIMAL(38,18),
quarantined BIGINT, quarantined_usd DECIMAL(38,18), baseline_success_usd DECIMAL(38,18), value_usd DECIMAL(38,18), drift_reported_usd DECIMAL(38,18),
drift_billed_usd DECIMAL(38,18), duration_ms DOUBLE, timed BIGINT, ttft_ms DOUBLE, ttft_timed BIGINT);
create table rollup_user_day (bucket BIGINT, kind VARCHAR, user_id VARCHAR, model VARCHAR, tier VARCHAR, operations BIGINT, errors BIGINT, billable BIGINT,
priced BIGINT, successes BIGINT, basis_billed BIGINT, basis_computed BIGINT, basis_reported BIGINT, input_tokens BIGINT, cache_read_tokens BIGINT,
cache_write_tokens BIGINT, output_tokens BIGINT, reasoning_tokens BIGINT, cost_usd DECIMAL(38,18), reported_usd DECIMAL(38,18), computed_usd DECIMAL(38,18),
billed_usd DECIMAL(38,18), quarantined BIGINT, quarantined_usd DECIMAL(38,18), baseline_success_usd DECIMAL(38,18), value_usd DECIMAL(38,18),
drift_reported_usd DECIMAL(38,18), drift_billed_usd DECIMAL(38,18), duration_ms DOUBLE, timed BIGINT, ttft_ms DOUBLE, ttft_timed BIGINT);
create table rollup_session_day (bucket BIGINT, kind VARCHAR, session_id VARCHAR, operations BIGINT, errors BIGINT, billable BIGINT, priced BIGINT, successes
BIGINT, basis_billed BIGINT, basis_computed BIGINT, basis_reported BIGINT, input_tokens BIGINT, cache_read_tokens BIGINT, cache_write_tokens BIGINT,
output_tokens BIGINT, reasoning_tokens BIGINT, cost_usd DECIMAL(38,18), reported_usd DECIMAL(38,18), computed_usd DECIMAL(38,18), billed_usd DECIMAL(38,18),
quarantined BIGINT, quarantined_usd DECIMAL(38,18), baseline_success_usd DECIMAL(38,18), value_usd DECIMAL(38,18), drift_reported_usd DECIMAL(38,18),
drift_billed_usd DECIMAL(38,18), duration_ms DOUBLE, timed BIGINT, ttft_ms DOUBLE, ttft_timed BIGINT);
create table latency_kind_day (bucket BIGINT, kind VARCHAR, bin SMALLINT, n BIGINT);
create table latency_project_day (bucket BIGINT, kind VARCHAR, project VARCHAR, bin SMALLINT, n BIGINT);
create table latency_name_day (bucket BIGINT, kind VARCHAR, name VARCHAR, bin SMALLINT, n BIGINT);
create table latency_model_day (bucket BIGINT, kind VARCHAR, provider VARCHAR, model VARCHAR, tier VARCHAR, bin SMALLINT, n BIGINT);
create table latency_user_day (bucket BIGINT, kind VARCHAR, user_id VARCHAR, bin SMALLINT, n BIGINT);
create table latency_project_model_day (bucket BIGINT, kind VARCHAR, project VARCHAR, provider VARCHAR, model VARCHAR, tier VARCHAR, bin SMALLINT, n BIGINT);
