"""What the owner of a cloud account has set up before anything is launched."""

from __future__ import annotations

import boto3

from tests.rigs.cloudbox.box import NETWORK, REGION, ROLE, VPC_NAME, ZONES, BoxError


def set_up() -> dict[str, str]:
    """Make a network with a subnet for each zone, and the role of SkyPilot's machines.

    SkyPilot would make the role by itself, and wait for half a minute.

    Returns:
        The zone of each subnet.
    """
    ec2 = boto3.client("ec2", region_name=REGION)
    offered = ec2.describe_availability_zones()["AvailabilityZones"]
    known = {zone["ZoneName"]: zone["ZoneId"] for zone in offered}
    vpc = ec2.create_vpc(CidrBlock=f"{NETWORK}.0.0/16")["Vpc"]["VpcId"]
    ec2.create_tags(Resources=[vpc], Tags=[{"Key": "Name", "Value": VPC_NAME}])
    zones = {}
    for zone in ZONES:
        if known.get(zone.name) != zone.id:
            message = (
                f"The catalog and the region disagree about zones. {zone.name} is "
                f"{known.get(zone.name)} and not {zone.id}. Correct ZONES in box.py."
            )
            raise BoxError(message)
        made = ec2.create_subnet(
            VpcId=vpc, CidrBlock=f"{zone.subnet}.0/24", AvailabilityZone=zone.name
        )
        subnet = made["Subnet"]["SubnetId"]
        # With private addresses, SkyPilot takes the subnets that are called private.
        name = f"{VPC_NAME}-private-{zone.name}"
        ec2.create_tags(Resources=[subnet], Tags=[{"Key": "Name", "Value": name}])
        zones[subnet] = zone.name
    iam = boto3.client("iam", region_name=REGION)
    iam.create_role(RoleName=ROLE, AssumeRolePolicyDocument="{}")
    iam.create_instance_profile(InstanceProfileName=ROLE)
    iam.add_role_to_instance_profile(InstanceProfileName=ROLE, RoleName=ROLE)
    return zones
