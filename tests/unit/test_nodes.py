"""What a node says about itself is read from where Linux and its tools tell it."""

from __future__ import annotations

import asyncio
import os

import pytest

from runhouse.server import nodes


def test_this_node_has_processors_and_memory() -> None:
    node = asyncio.run(nodes.this_node())
    assert node.cpus >= 1
    assert node.memory_total_bytes > node.memory_available_bytes > 0
    assert node.hostname == os.uname().nodename
    assert node.platform.startswith("Linux ")
    assert node.to_json()["cpus"] == node.cpus


def test_a_process_has_memory_and_one_that_is_not_there_has_none() -> None:
    assert nodes.resident_bytes(os.getpid()) > 1_000_000
    assert nodes.resident_bytes(2**22 + 1) == 0


def test_gpus_are_read_from_what_nvidia_smi_prints() -> None:
    text = "NVIDIA A100-SXM4-80GB, 81920, 1024, 37\nTesla T4, 15360, [N/A], 0\n"
    first, second = nodes.parse_gpus(text)
    assert (first.name, first.utilization_percent) == ("NVIDIA A100-SXM4-80GB", 37.0)
    assert first.memory_total_bytes == 81920 * 2**20
    assert first.memory_used_bytes == 1024 * 2**20
    assert (second.name, second.memory_used_bytes) == ("Tesla T4", 0)
    assert nodes.parse_gpus("") == ()


@pytest.mark.parametrize(
    ("script", "count"),
    [
        ("echo 'Tesla T4, 15360, 100, 3'", 1),
        ("exit 9", 0),
    ],
)
def test_a_tool_that_fails_means_no_gpus(
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    script: str,
    count: int,
) -> None:
    folder = tmp_path_factory.mktemp("bin")
    tool = folder / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    assert len(asyncio.run(nodes.this_node()).gpus) == count
