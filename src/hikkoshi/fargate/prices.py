"""What AWS asks for Fargate on Linux, by the hour, in US dollars: dated facts, no more.

AWS publishes them at https://aws.amazon.com/fargate/pricing/ (the page draws the numbers with a
script) and in its Price List API, service AmazonECS, usage types `…Fargate-vCPU-Hours:perCPU`,
`…Fargate-GB-Hours` and the same with `ARM-`. Neither was asked directly: each row was read from
texts by others who quote them, and `read` is the date that those give. `is_confirmed`: at least
two that do not depend on each other agree; without it, look the price up before relying on it.
No Savings Plan, no Spot, no free tier; 20 GB of ephemeral storage come with each task.
"""

from __future__ import annotations

from dataclasses import dataclass

PAGE = "https://aws.amazon.com/fargate/pricing/"
# The month of AWS's Pricing Calculator.
HOURS_A_MONTH = 730.0

X86, ARM = "X86_64", "ARM64"


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars for a vCPU and for a GB of memory, an hour."""

    region: str
    architecture: str
    vcpu_hour: float
    gb_hour: float
    read: str
    is_confirmed: bool
    note: str = ""

    def month(self, cpu_units: int, memory_mib: int, tasks: float = 1) -> float:
        """Dollars a month of that many tasks that run all the time."""
        hour = self.vcpu_hour * cpu_units / 1024 + self.gb_hour * memory_mib / 1024
        return hour * HOURS_A_MONTH * tasks


_PRICE_LIST = "quoted from the Price List API"
_ONE_SOURCE = "one source only"

PRICES: tuple[Price, ...] = (
    Price("us-east-1", X86, 0.04048, 0.004445, "2026-04", True, "vantage.sh, cloudburn.io"),
    Price("us-east-1", ARM, 0.03238, 0.00356, "2026-08-28", True, _PRICE_LIST),
    # AWS's page gives Virginia, Ohio, Oregon and Ireland as one price.
    Price("us-east-2", X86, 0.04048, 0.004445, "2026-04", False, "as us-east-1, by AWS's page"),
    Price("us-west-2", X86, 0.04048, 0.004445, "2026-04", False, "as us-east-1, by AWS's page"),
    Price("eu-west-1", X86, 0.04048, 0.004445, "2026-04", False, "as us-east-1, by AWS's page"),
    Price("ap-northeast-1", X86, 0.05056, 0.00553, "2025-09", True, _PRICE_LIST),
    Price("ap-northeast-1", ARM, 0.04045, 0.00442, "2026-09", True, _PRICE_LIST),
    Price("ap-northeast-2", X86, 0.04656, 0.00511, "2026-08-31", False, _ONE_SOURCE),
    Price("ap-northeast-2", ARM, 0.03725, 0.00409, "2026-08-31", False, _ONE_SOURCE),
    Price("ap-northeast-3", X86, 0.05056, 0.00553, "2026", False, _ONE_SOURCE),
    Price("ap-southeast-2", X86, 0.04856, 0.00532, "undated", False, _ONE_SOURCE),
    Price("ap-southeast-2", ARM, 0.03885, 0.00426, "undated", False, _ONE_SOURCE),
    Price("ap-southeast-3", X86, 0.05056, 0.00553, "2026", False, _ONE_SOURCE),
    Price("eu-central-1", X86, 0.04656, 0.00511, "undated", False, _ONE_SOURCE),
    Price("sa-east-1", X86, 0.0696, 0.0076, "undated", False, _ONE_SOURCE),
    Price("sa-east-1", ARM, 0.0557, 0.00612, "undated", False, _ONE_SOURCE),
)  # fmt: skip


def price_of(region: str, architecture: str = X86) -> Price | None:
    """None: this table has no such price; none is guessed from another region's."""
    for price in PRICES:
        if (price.region, price.architecture) == (region, architecture):
            return price
    return None


def priced_regions() -> tuple[str, ...]:
    return tuple(sorted({price.region for price in PRICES}))
