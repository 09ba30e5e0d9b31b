"""The evidence of a run: written as JSON lines while it runs, read from one DuckDB file after.

This package lies under the stages, beside `model`: findings and report both read it.
"""
