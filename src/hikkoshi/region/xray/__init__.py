"""X-Ray in the region: the API (`service`) and what plays its daemon in a task (`sidecar`).

Nothing is imported here: the sidecar starts in every task, and must start at once."""
