"""The machines and images that the region offers, as SkyPilot and moto read them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.rigs.cloudbox.box import IMAGE_ID, REGION, ZONES

if TYPE_CHECKING:
    from pathlib import Path

_GPU_MEMORY_MIB = {"T4": 15360, "A10G": 22888, "V100": 16384}
_SPOT_SHARE = 0.3
_IMAGE_TAGS = (
    "custom-cpu-ubuntu",
    "custom-gpu-ubuntu",
    "custom-gpu-ubuntu-cuda13",
    "k80-ubuntu-2004",
)


@dataclass(frozen=True, slots=True)
class Offer:
    """Describe an instance type.

    Attributes:
        name: Its name.
        cpus: Number of virtual CPUs that it claims to have.
        memory_gib: Memory that it claims to have.
        price: US dollars for an hour.
        gpu: Name of the GPU that it claims to have one of; empty for none.
    """

    name: str
    cpus: int
    memory_gib: int
    price: float
    gpu: str = ""


OFFERS = (
    Offer("m6i.large", 2, 8, 0.096),
    Offer("m6i.xlarge", 4, 16, 0.192),
    Offer("m6i.2xlarge", 8, 32, 0.384),
    Offer("m6i.4xlarge", 16, 64, 0.768),
    Offer("c6i.large", 2, 4, 0.085),
    Offer("g4dn.xlarge", 4, 16, 0.526, "T4"),
    Offer("g5.xlarge", 4, 16, 1.006, "A10G"),
    Offer("p3.2xlarge", 8, 61, 3.06, "V100"),
)


def _gpu_info(gpu: str) -> str:
    memory = _GPU_MEMORY_MIB[gpu]
    info = {
        "Gpus": [
            {
                "Name": gpu,
                "Manufacturer": "NVIDIA",
                "Count": 1,
                "MemoryInfo": {"SizeInMiB": memory},
            }
        ],
        "TotalGpuMemoryInMiB": memory,
    }
    return f'"{info}"'


def _machines() -> str:
    rows = [
        "InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,GpuInfo,Price,SpotPrice,"
        "Region,AvailabilityZone,Arch"
    ]
    for offer in OFFERS:
        info, count = (_gpu_info(offer.gpu), "1.0") if offer.gpu else ("", "")
        size = f"{float(offer.cpus)},{float(offer.memory_gib)}"
        prices = f"{offer.price},{offer.price * _SPOT_SHARE:.4f}"
        rows.extend(
            f"{offer.name},{offer.gpu},{count},{size},{info},{prices},{REGION},{zone.id},x86_64"
            for zone in ZONES
        )
    return "\n".join([*rows, ""])


def _images() -> str:
    rows = ["Tag,Region,OS,OSVersion,ImageId,CreationDate,BaseImageId"]
    rows.extend(
        f"skypilot:{tag},{REGION},ubuntu,22.04,{IMAGE_ID},20240101,{IMAGE_ID}"
        for tag in _IMAGE_TAGS
    )
    return "\n".join([*rows, ""])


def write(folder: Path) -> None:
    """Write the catalog; SkyPilot takes one without checksums as made by hand, and keeps it.

    Args:
        folder: The folder of the catalog's version, as in `~/.sky/catalogs/v8`.
    """
    accelerators = [f"{gpu},['AWS']\n" for gpu in _GPU_MEMORY_MIB]
    memories = [f"{gpu},{mib / 1024:.0f},NVIDIA\n" for gpu, mib in _GPU_MEMORY_MIB.items()]
    files = {
        "aws/vms.csv": _machines(),
        "aws/images.csv": _images(),
        "aws/instance_quota_mapping.csv": "InstanceType,OnDemandInstanceCode,SpotInstanceCode\n",
        "common/accelerators.csv": "AcceleratorName,Clouds\n" + "".join(accelerators),
        "common/metadata.csv": "GPU,MemoryGB,Manufacturer\n" + "".join(memories),
    }
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def write_image(path: Path) -> None:
    """Write down the machine image of the region, in the form that moto reads at its start."""
    image = {
        "ami_id": IMAGE_ID,
        "name": "cloudbox",
        "description": "Ubuntu, with what SkyPilot installs",
        "owner_id": "123456789012",
        "public": True,
        "virtualization_type": "hvm",
        "architecture": "x86_64",
        "state": "available",
        "image_type": "machine",
        "image_location": "amazon/cloudbox",
        "hypervisor": "xen",
        "root_device_type": "ebs",
        "root_device_name": "/dev/sda1",
        "sriov": "simple",
        "creation_date": "2024-01-01T00:00:00.000Z",
    }
    path.write_text(json.dumps([image]))
