"""Do the records that the host delivered still arrive? Two pipelines over the same lines."""
