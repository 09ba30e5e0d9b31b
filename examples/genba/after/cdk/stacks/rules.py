"""AWS's rules (cdk-nag) that do not hold here, each with the reason, beside what it is about."""

import aws_cdk as cdk
from constructs import Construct


def acknowledge(construct: Construct, rule: str, *, because: str) -> None:
    """The rule is broken in the construct, or in what is inside it, and knowingly so."""
    cdk.Validations.of(construct).acknowledge(cdk.Acknowledgment(id=rule, reason=because))
