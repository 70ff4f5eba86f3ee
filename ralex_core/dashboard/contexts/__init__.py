"""What pages show and the API answers: one definition for the template, the JSON and the OpenAPI schema.

One file per page; `frame` is around all of them, `rows` holds what several show. Money is `Decimal` (a decimal string
in JSON), except in the series of charts, which are plain numbers. Times named `*_at` are ISO-8601 in UTC, `*_us` and
`starts` are microseconds since the epoch. Ratios are 0–1. None is not known.
"""
