"""Instruments: each times one library without a change to the code that uses it. See docs/instruments.md.

One file per library, which is imported only when its instrument is switched on. People call them through
`ralex_core.monitoring.instrument`.
"""
