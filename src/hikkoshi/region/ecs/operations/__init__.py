"""The operations of the ECS API, one file a kind of resource."""
