"""A cluster's life, connections, tunnels and files, on this machine and behind a real sshd."""

from __future__ import annotations

import os
import pickle
import socket
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

import runhouse as rh
from runhouse.errors import (
    CallError,
    ClusterNotUpError,
    HostUnreachableError,
    SettingsError,
    SyncError,
)
from tests.integration import sample
from tests.rigs.clusters import local_and_ssh, private_sshd
from tests.rigs.sshd import PASSWORD, free_port
from tests.waiting import is_running, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.rigs.clusters import PrivateSshd

pytestmark = pytest.mark.timeout(60)
cluster = local_and_ssh


@pytest.fixture(scope="module")
def sshd(session_home: Path) -> Iterator[PrivateSshd]:
    """Give a host that takes keys and a password."""
    with private_sshd("PasswordAuthentication yes", password=True) as running:
        yield running


def is_ssh(cluster: rh.Cluster) -> bool:
    return cluster.kind == "byo"


# -- life --------------------------------------------------------------------------------------


def test_a_cluster_is_up_when_its_server_runs_and_not_before(cluster: rh.Cluster) -> None:
    cluster.stop()
    assert not cluster.is_up()
    with pytest.raises(ClusterNotUpError, match=r"is not up\. Its server does not run\. Start"):
        cluster.check_server(restart_server=False)
    assert not cluster.is_up(), "asking starts nothing"
    assert cluster.up_if_not() is cluster
    assert cluster.is_up()
    first = cluster.status().pid
    assert cluster.up() is cluster
    assert cluster.check_server(restart_server=False) is cluster
    assert cluster.up_if_not().status().pid == first, "what runs is left alone"
    assert cluster.stop()
    assert not cluster.stop()
    assert cluster.check_server() is cluster
    assert cluster.is_up()


def test_the_status_tells_what_runs(cluster: rh.Cluster) -> None:
    counter = rh.module(sample.Counter).to(cluster)(3)
    wait_until(lambda: cluster.status().objects)  # a worker tells of itself now and then
    status = cluster.status()
    assert status.name == cluster.name
    assert status.version == rh.__version__
    assert status.autostop_mins is None
    (node,) = status.nodes
    assert node.hostname == socket.gethostname()
    assert node.memory_total_bytes > node.memory_available_bytes > 0
    worker = next(each for each in status.workers if each.pid == counter.pid())
    assert worker.python == ".".join(map(str, sys.version_info[:3]))
    assert worker.memory_bytes > 1_000_000
    assert isinstance(status, rh.ClusterStatus)
    assert status.to_json()["workers"][0]["env"]


@pytest.mark.parametrize("resync", [True, False])
def test_restarting_the_server_loses_the_workers_and_nothing_else(
    cluster: rh.Cluster, resync: bool
) -> None:
    add = rh.function(sample.add).to(cluster)
    counter = rh.module(sample.Counter).to(cluster)(3)
    assert counter.add() == 4
    before = cluster.status().pid
    assert cluster.restart_server(resync_rh=resync) is cluster
    after = cluster.status()
    assert (after.pid != before, after.objects) == (True, 0)
    with pytest.raises(CallError):
        counter.add()
    assert add(1, 2) == 3


def test_a_server_killed_by_force_is_started_again(cluster: rh.Cluster) -> None:
    add = rh.function(sample.add).to(cluster)
    status = cluster.up().status()
    pid = status.pid
    cluster.run(f"kill -9 {pid}", stream_logs=False)
    wait_until(lambda: not cluster.is_up())
    # A call to a worker that is about to follow its server would be lost with it.
    wait_until(lambda: not any(is_running(worker.pid) for worker in status.workers))
    assert add(2, 2) == 4
    assert cluster.is_up()
    assert cluster.status().pid != pid


def test_hosts_of_your_own_never_stop_by_themselves(cluster: rh.Cluster) -> None:
    assert cluster.keep_warm() is cluster
    assert cluster.keep_warm(autostop_mins=5) is cluster
    with pytest.raises(KeyError), cluster.pause_autostop():
        raise KeyError
    with cluster.pause_autostop() as nothing:
        assert nothing is None


def test_the_logs_are_those_of_the_server(cluster: rh.Cluster) -> None:
    pid = cluster.up().status().pid
    assert f"pid {pid}" in cluster.logs()


def test_a_host_out_of_reach_is_not_up(sshd: PrivateSshd) -> None:
    nobody = rh.cluster("nobody", host=f"127.0.0.1:{free_port()}")
    assert not nobody.is_up()
    assert not nobody.is_connected()
    with pytest.raises(HostUnreachableError):
        nobody.up()
    with pytest.raises(HostUnreachableError):
        nobody.check_server(restart_server=False)


# -- connections -------------------------------------------------------------------------------


def test_connections_are_made_when_needed_and_told_truly(cluster: rh.Cluster) -> None:
    add = rh.function(sample.add).to(cluster)
    assert cluster.is_connected()
    cluster.disconnect()
    assert not cluster.is_connected()
    cluster.disconnect()
    assert add(1, 1) == 2, "the next use connects"
    assert cluster.is_connected()
    cluster.disconnect()
    assert cluster.connect_server_client() is cluster
    assert cluster.is_connected()
    assert cluster.connect_server_client(force_reconnect=True) is cluster
    assert cluster.is_connected()
    assert add(1, 2) == 3


def test_nothing_is_connected_before_it_is_needed(sshd: PrivateSshd) -> None:
    lazy = sshd.cluster("lazy")
    assert not lazy.is_connected()
    lazy.disconnect()
    assert (lazy.address, lazy.ips) == ("127.0.0.1", ["127.0.0.1"])
    assert lazy.ssh_creds() == sshd.creds
    pickle.dumps(lazy)
    assert not lazy.on_this_cluster()
    assert not lazy.is_connected()


# -- identity ----------------------------------------------------------------------------------


def test_a_worker_knows_which_cluster_it_is_on(cluster: rh.Cluster) -> None:
    other = rh.cluster("other", host=f"127.0.0.1:{free_port()}")
    again = rh.Cluster.from_config(cluster.config())
    again.connect_server_client()

    def ask() -> tuple[bool, bool, bool, bool]:
        return (
            rh.here.on_this_cluster(),
            cluster.on_this_cluster(),
            again.on_this_cluster(),
            other.on_this_cluster(),
        )

    assert rh.function(ask).to(cluster)() == (True, True, True, False)
    assert cluster.on_this_cluster() is not is_ssh(cluster)
    assert not other.on_this_cluster()


# -- tunnels -----------------------------------------------------------------------------------


@contextmanager
def echo_service() -> Iterator[int]:
    """Serve on loopback: what is sent comes back in capitals."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.sendall(connection.recv(100).upper())

        threading.Thread(target=serve, daemon=True).start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)


def ask_port(port: int) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(b"hello")
        return client.recv(100)


def test_a_tunnel_leads_from_one_port_to_another(cluster: rh.Cluster) -> None:
    box = cluster
    box.stop()
    with echo_service() as remote:
        local = free_port()
        tunnel, port = box.ssh_tunnel(local, remote)
        with tunnel:
            assert (port, tunnel.local_port, tunnel.remote_port) == (local, local, remote)
            assert ask_port(local) == b"HELLO"
        tunnel.close()
        with pytest.raises(OSError, match="refused"):
            ask_port(local)
        any_tunnel, any_port = box.ssh_tunnel(0, remote)
        with any_tunnel:
            assert ask_port(any_port) == b"HELLO"
    assert not box.is_up(), "a tunnel needs no server"


def test_a_busy_port_is_passed_over_as_often_as_allowed(cluster: rh.Cluster) -> None:
    with echo_service() as busy, echo_service() as remote:
        with pytest.raises(SettingsError, match="taken"):
            cluster.ssh_tunnel(busy, remote)
        tunnel, port = cluster.ssh_tunnel(busy, remote, num_ports_to_try=20)
        with tunnel:
            assert busy < port <= busy + 20
            assert ask_port(port) == b"HELLO"


def test_a_port_of_this_machine_needs_no_tunnel() -> None:
    with echo_service() as port:
        tunnel, same = rh.here.ssh_tunnel(port)
        with tunnel:
            assert (same, ask_port(same)) == (port, b"HELLO")


# -- files -------------------------------------------------------------------------------------


def test_files_go_both_ways(cluster: rh.Cluster, tmp_path: Path) -> None:
    source, there, back = (tmp_path / name for name in ("a b", "there", "back"))
    (source / "in 'it").mkdir(parents=True)
    (source / "in 'it" / "ü").write_text("text")
    cluster.rsync(source, there, contents=True, filter_options="*.log")
    assert (there / "in 'it" / "ü").read_text() == "text"
    assert not (there / "skip.log").exists()
    cluster.rsync(str(there), str(back), up=False, contents=False)
    assert (back / "there" / "in 'it" / "ü").read_text() == "text"
    with pytest.raises(FileNotFoundError, match="no such file here"):
        cluster.rsync(tmp_path / "none", there)
    with pytest.raises(SyncError):
        cluster.rsync(tmp_path / "none", back, up=False)


# -- several hosts -----------------------------------------------------------------------------


def test_commands_reach_the_node_that_is_meant(sshd: PrivateSshd) -> None:
    hosts = [sshd.address, f"{sshd.user}@[::1]:{sshd.port}"]
    pair = rh.cluster("pair", host=hosts, ssh_creds=sshd.creds)
    where = "echo ${SSH_CONNECTION% *}"

    def answers(node: int | str | None) -> list[bool]:
        return ["::1" in out for _, out, _ in pair.run(where, node=node, stream_logs=False)]

    assert pair.ips == ["127.0.0.1", "::1"]
    assert answers(None) == answers(0) == answers("127.0.0.1") == [False]
    assert answers(1) == answers("::1") == [True]
    assert answers("all") == [False, True]
    assert pair.run("exit 3", require_outputs=False, node="all") == [3, 3]


# -- saved clusters ----------------------------------------------------------------------------


def test_a_password_is_kept_apart_and_used_only_where_it_belongs(
    sshd: PrivateSshd, rh_home: Path
) -> None:
    creds = {"ssh_user": sshd.user, "password": PASSWORD}
    host = f"127.0.0.1:{sshd.port}"
    box = rh.cluster("secret-box", host=host, ssh_creds=creds)
    assert box.run("echo in", stream_logs=False) == [(0, "in\n", "")]
    box.save()
    box.disconnect()

    loaded = rh.cluster("secret-box")
    assert loaded == box
    assert loaded.run("echo again", stream_logs=False) == [(0, "again\n", "")]
    texts = [repr(loaded), repr(loaded.config()), repr(loaded.ssh_creds()), repr(vars(loaded))]
    texts += [path.read_text() for path in (rh_home / "clusters").iterdir()]
    texts += [pickle.dumps(each).decode("latin-1") for each in (box, loaded)]
    assert not any(PASSWORD in text for text in texts)

    elsewhere = rh.cluster("secret-box", host=f"localhost:{sshd.port}")
    assert elsewhere.host_of()._target.password is None  # type: ignore[attr-defined]
    loaded.disconnect()

    rh.cluster("secret-box").delete_configs()
    assert not [path for path in rh_home.rglob("*secret-box*") if path.is_file()]
    with pytest.raises(rh.errors.ClusterNotFoundError):
        rh.cluster("secret-box")


def test_a_cluster_saved_here_is_found_by_name_in_calls(cluster: rh.Cluster) -> None:
    name = f"named-{os.getpid()}"
    saved: Any = rh.Cluster.from_config({**cluster.config(), "name": name}).save()
    assert rh.function(sample.add).to(name)(1, 2) == 3
    saved.delete_configs()
