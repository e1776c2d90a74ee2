"""Proxies: functions and classes that run on a cluster and are used as if they were here."""
