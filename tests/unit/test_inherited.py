"""A public class lists what it inherits as its own."""

from __future__ import annotations

from functools import cached_property

import runhouse as rh
from runhouse.clusters.inherited import with_inherited


class Base:
    @classmethod
    def named(cls) -> str:
        return cls.__name__

    @cached_property
    def made(self) -> list[int]:
        return []

    def hidden(self) -> str:
        return "base"

    def _private(self) -> None: ...


@with_inherited
class Public(Base):
    def hidden(self) -> str:
        return f"public, not {super().hidden()}"


def test_public_members_are_in_the_class_itself() -> None:
    assert {"named", "made", "hidden"} <= vars(Public).keys()
    assert "_private" not in vars(Public)
    assert Public.named() == "Public"
    assert Public().made is not Public().made


def test_its_own_members_stay() -> None:
    assert Public().hidden() == "public, not base"


def test_clusters_list_all_that_they_can_do() -> None:
    for kind in (rh.Cluster, rh.OnDemandCluster):
        public = {name for name in dir(kind) if not name.startswith("_")}
        assert public <= vars(kind).keys()
