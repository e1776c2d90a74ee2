"""Where an env's workers run, and on how many GPUs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

_KEYS = ("node", "gpus")


@dataclass(frozen=True, slots=True)
class Compute:
    """Say on which node workers run, and what of it they get.

    Attributes:
        node: Index of the node; 0 is the head.
        gpus: How many GPUs each worker sees, by CUDA_VISIBLE_DEVICES; None: all of them.
    """

    node: int = 0
    gpus: int | None = None

    @classmethod
    def parse(cls, given: object) -> Compute:
        """Read `{"node": 0, "gpus": 1}`.

        Raises:
            TypeError: It is no mapping.
            ValueError: A key is unknown, or a number cannot be used.
        """
        if given is None:
            return cls()
        if isinstance(given, Compute):
            return given
        if not isinstance(given, Mapping):
            msg = (
                f"compute={given!r} cannot be used. It is of type {type(given).__name__}. Give a "
                "dict, for example {'gpus': 1}."
            )
            raise TypeError(msg)
        unknown = sorted(set(map(str, given)) - set(_KEYS))
        if unknown:
            msg = (
                f"compute has no {unknown[0]!r}. It takes {' and '.join(_KEYS)}. Correct or remove "
                "it."
            )
            raise ValueError(msg)
        for key, value in given.items():
            if not isinstance(value, int) or isinstance(value, bool) or value < 0:
                msg = f"compute[{key!r}] cannot be {value!r}. It is a whole number from 0 on."
                raise ValueError(msg)
        if given.get("node", 0):
            msg = (
                f"compute['node'] cannot be {given['node']}. Workers run on the head of a cluster, "
                "which is node 0. Leave it out, or make the other host a cluster of its own."
            )
            raise ValueError(msg)
        return cls(**given)
