"""Datadog's API tests, as its API exports them: read, run here, and written back.

The document is kept whole: what is not understood is carried along, and what cannot be run is not
tried, by name. Source of names and values: Datadog's own API client (v1, Synthetics).
"""
