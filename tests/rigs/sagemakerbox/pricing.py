"""What the price list says about training on an instance type, in AWS's form."""

from __future__ import annotations

import json
from typing import Any

# US dollars an hour, as AWS's public price list of us-east-1 had them.
PRICES = {"ml.m5.large": "0.1150000000", "ml.g5.xlarge": "1.4080000000"}


class Pricing:
    """Answer requests for prices."""

    def GetProducts(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802 - AWS's name
        """Return the products that pass the filters: at most one."""
        wanted = {each["Field"]: each["Value"] for each in request.get("Filters", [])}
        kind = wanted.get("instanceName", "")
        if kind not in PRICES or wanted.get("regionCode", "us-east-1") != "us-east-1":
            return {"FormatVersion": "aws_v1", "PriceList": []}
        dimension = {"unit": "Hrs", "pricePerUnit": {"USD": PRICES[kind]}}
        product = {
            "product": {"attributes": {"instanceName": kind, "component": "Training"}},
            "terms": {"OnDemand": {"A.B": {"priceDimensions": {"A.B.C": dimension}}}},
        }
        return {"FormatVersion": "aws_v1", "PriceList": [json.dumps(product)]}
