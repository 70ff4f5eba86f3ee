"""Figures of comparable tools, measured on a machine of 2 virtual cores under Debian 12 with the same scripts."""

from __future__ import annotations

MLFLOW = "MLflow 3.17"
PHOENIX = "Phoenix 20.26"

MLFLOW_SPANS_PER_S = 917
MLFLOW_CPU_S_PER_1K_SPANS = 1.29
MLFLOW_RSS_MB = 3000
MLFLOW_BYTES_PER_SPAN = 1750

DICTIONARY_S_PER_1K_SPANS = 0.0096
"""CPU of reading the spans of `ingest` into plain dictionaries: how fast that machine was."""

PHOENIX_READY_S = 10.0
PHOENIX_IDLE_RSS_MB = 430
PHOENIX_INSTALL_MB = 826
PHOENIX_PACKAGES = 151
PHOENIX_LCP_S = 2.79
PHOENIX_PAGE_KB = 6000

NETDATA_IDLE_CPU_PERCENT = 1.1
"""netdata sampling a host once a second."""

LITELLM = "the LiteLLM proxy without a database"
LITELLM_ADDED_32_MS = 283.0
LITELLM_CPU_MS = 9.5
