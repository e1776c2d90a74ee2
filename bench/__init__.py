"""Measure runhouse against peers and physical limits of the same run: `python -m bench`."""
