/**
 * Shapes of what the server sends, for the type checker only: no page loads this file. Money is a decimal string,
 * `*_us` and `starts` are microseconds since the epoch, ratios are 0–1, null is not known.
 *
 * @typedef {"neutral" | "good" | "warn" | "bad" | "unknown"} Tone
 *
 * @typedef {object} Range
 * @property {string} key
 * @property {string} label
 * @property {boolean} live
 * @property {boolean} explicit
 * @property {number} start_us
 * @property {number} end_us
 *
 * @typedef {object} Boot what every page embeds
 * @property {string} page
 * @property {string} version
 * @property {string} timezone
 * @property {string} query range and filters
 * @property {string} filters_query
 * @property {Range | null} range
 * @property {number | null} refresh_s seconds between refreshes while something happens
 * @property {string | null} ws
 * @property {boolean} demo
 * @property {Overview} [overview]
 * @property {Resources} [resources]
 *
 * @typedef {object} CostSeries
 * @property {number} bucket_us
 * @property {number[]} starts
 * @property {Record<string, number[]>} series
 *
 * @typedef {object} LatencySeries
 * @property {number} bucket_us
 * @property {number[]} starts
 * @property {number[]} operations
 * @property {number[]} errors
 * @property {(number | null)[]} p50_ms
 * @property {(number | null)[]} p95_ms
 * @property {(number | null)[]} p99_ms
 *
 * @typedef {object} Breakdown
 * @property {string} key
 * @property {string | null} tier
 *
 * @typedef {object} FeedItem
 * @property {string} operation_id
 * @property {string} started_at
 * @property {number} started_us
 * @property {string} kind
 * @property {string} name
 * @property {string | null} model
 * @property {string | null} tier
 * @property {string | null} project
 * @property {string | null} user
 * @property {string} status
 * @property {number | null} duration_ms
 * @property {string | null} cost_usd
 * @property {string} href
 *
 * @typedef {object} ResourcePoint
 * @property {string} sampled_at
 * @property {number} cpu_ratio
 * @property {number | null} load_1m
 * @property {number} memory_used_bytes
 * @property {number} memory_total_bytes
 * @property {number} disk_used_bytes
 * @property {number} disk_total_bytes
 * @property {number | null} disk_read_bytes_s
 * @property {number | null} disk_write_bytes_s
 * @property {number | null} net_received_bytes_s
 * @property {number | null} net_sent_bytes_s
 * @property {number} process_cpu_ratio
 * @property {number} process_rss_bytes
 * @property {number | null} cores
 * @property {number | null} busiest_core_ratio
 * @property {number | null} throttled_ratio
 * @property {number | null} swap_used_bytes
 * @property {number | null} swap_total_bytes
 * @property {number | null} open_files
 * @property {number | null} open_files_limit
 * @property {number | null} process_open_files
 *
 * @typedef {object} ResourceState
 * @property {string} resource
 * @property {string} title
 * @property {string} level
 * @property {number | null} since_us
 * @property {string} reason
 *
 * @typedef {object} ProcessPoint
 * @property {number} pid
 * @property {number} started_us
 * @property {string} name
 * @property {number} processes
 * @property {number | null} cpu_ratio
 * @property {number} rss_bytes
 * @property {number} threads
 * @property {number | null} open_files
 * @property {number | null} read_bytes_s
 * @property {number | null} write_bytes_s
 *
 * @typedef {object} Resources what the page of resources draws
 * @property {boolean} empty
 * @property {{bucket_us: number, starts: number[]} & Record<string, (number | null)[]>} series
 * @property {number} gpu_bucket_us
 * @property {number[]} gpu_starts
 * @property {{gpu: string, name: string, busy: (number | null)[], memory: (number | null)[]}[]} gpus
 *
 * @typedef {object} Today
 * @property {string} cost_usd
 * @property {string | null} budget_usd
 * @property {string | null} projected_usd
 * @property {number | null} coverage_ratio
 *
 * @typedef {object} Overview
 * @property {Range} range
 * @property {boolean} empty
 * @property {Today} today
 * @property {{p50_ms: number | null, p95_ms: number | null, p99_ms: number | null}} totals
 * @property {{cost_by_tier: CostSeries, cost_by_model: CostSeries, latency: LatencySeries}} charts
 * @property {Breakdown[]} models
 * @property {{series: Record<string, (number | null)[]>}} resources
 *
 * @typedef {Record<"billed" | "computed" | "reported" | "unknown", number>} Basis
 *
 * @typedef {object} LivePerformance
 * @property {number} operations
 * @property {number} errors
 * @property {number | null} error_ratio
 * @property {number} operations_per_minute
 * @property {number | null} p50_ms
 * @property {number | null} p95_ms
 * @property {number | null} p99_ms
 * @property {LatencySeries} series
 *
 * @typedef {object} LiveCosts
 * @property {Today} today
 * @property {{cost_usd: string, efficiency_ratio: number | null, coverage_ratio: number | null, basis: Basis, quarantined_count: number, quarantined_usd: string}} window
 * @property {{bucket_us: number, starts: number[], tiers: Record<string, number[]>}} series
 *
 * @typedef {object} LiveUsage
 * @property {number} operations
 * @property {number} llm_operations
 * @property {number} input_tokens
 * @property {number} output_tokens
 * @property {number} cache_read_tokens
 * @property {{bucket_us: number, starts: number[], input_tokens: number[], output_tokens: number[]}} series
 *
 * @typedef {object} LiveMessage
 * @property {"snapshot" | "update" | "heartbeat"} kind
 * @property {number} seq
 * @property {string} at
 * @property {{performance: LivePerformance, costs: LiveCosts, usage: LiveUsage}} metrics
 * @property {{status: string, reason: string | null, demo: boolean, resources: ResourcePoint | null, resource_states: ResourceState[], processes: ProcessPoint[]}} health
 * @property {FeedItem[]} feed newest first
 */

export {};
