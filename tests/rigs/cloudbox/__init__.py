"""A region in a box: real SkyPilot and real hosts, without a cloud; README.md tells how."""
