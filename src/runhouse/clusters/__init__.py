"""Clusters: named handles on hardware, one file for each kind."""
