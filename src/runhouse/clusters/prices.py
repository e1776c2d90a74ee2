"""What SageMaker's instances cost, as AWS's price list says when it answers."""

from __future__ import annotations

import json
import logging
from functools import lru_cache
from typing import TYPE_CHECKING

from runhouse.clusters.accounts import AnswerError
from runhouse.errors import LaunchError

if TYPE_CHECKING:
    from runhouse.clusters.aws import Account

log = logging.getLogger(__name__)

_REGION = "us-east-1"  # where the price list is, for all regions


@lru_cache(maxsize=256)
def price_per_hour(account: Account, kind: str) -> float | None:
    """Return the price of training on an instance type in US dollars an hour; None: unknown.

    Args:
        account: The way to AWS, in the region that is meant.
        kind: The type, as in `ml.m5.large`.
    """
    wanted = {"instanceName": kind, "regionCode": account.region, "component": "Training"}
    filters = [
        {"Type": "TERM_MATCH", "Field": name, "Value": value} for name, value in wanted.items()
    ]
    try:
        answer = account.try_to_ask(
            "pricing",
            "get_products",
            in_region=_REGION,
            ServiceCode="AmazonSageMaker",
            Filters=filters,
            MaxResults=1,
        )
    except (AnswerError, LaunchError) as error:
        log.info("the price of %s is not known: %s", kind, error)
        return None
    return next((_price(each) for each in answer.get("PriceList", [])), None)


def _price(product: str) -> float | None:
    """Return the price that an entry of the list tells."""
    for term in json.loads(product).get("terms", {}).get("OnDemand", {}).values():
        for dimension in term.get("priceDimensions", {}).values():
            return float(dimension["pricePerUnit"]["USD"])
    return None
