"""hikkoshi: move a service from EC2 + ELB to ECS Fargate, and rehearse the move first."""

__version__ = "0.1.0"
