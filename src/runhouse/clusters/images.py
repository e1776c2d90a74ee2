"""The container's image when none is given: AWS's own for PyTorch, which has Python 3.12.

See https://docs.aws.amazon.com/sagemaker/latest/dg-ecr-paths/sagemaker-algo-docker-registry-paths.html
"""

from __future__ import annotations

import re

# Regions in which AWS's images are not in its usual account.
_ACCOUNTS = {
    "af-south-1": "626614931356",
    "ap-east-1": "871362719292",
    "ap-northeast-3": "364406365360",
    "ap-south-2": "772153158452",
    "ap-southeast-3": "907027046896",
    "ap-southeast-4": "457447274322",
    "ca-west-1": "204538143572",
    "cn-north-1": "727897471807",
    "cn-northwest-1": "727897471807",
    "eu-central-2": "380420809688",
    "eu-south-1": "692866216735",
    "eu-south-2": "503227376785",
    "il-central-1": "780543022126",
    "me-central-1": "914824155844",
    "me-south-1": "217643126080",
    "us-gov-east-1": "446045086412",
    "us-gov-west-1": "442386744353",
}
_USUAL = "763104351884"
_CPU = "2.8.0-cpu-py312-ubuntu22.04-sagemaker"
_GPU = "2.8.0-gpu-py312-cu129-ubuntu22.04-sagemaker"
_HAS_GPU = re.compile(r"ml\.[pg]\d")


def default_image(region: str, instance_type: str) -> str:
    """Return the image for a region and a type of machine, with or without CUDA."""
    account = _ACCOUNTS.get(region, _USUAL)
    domain = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    tag = _GPU if _HAS_GPU.match(instance_type) else _CPU
    return f"{account}.dkr.ecr.{region}.{domain}/pytorch-training:{tag}"
