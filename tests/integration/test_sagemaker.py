"""SageMaker clusters: jobs that are created, worked in, lost and stopped, in a box."""

from __future__ import annotations

import _thread
import json
import subprocess
import sys
import threading
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

import runhouse as rh
from runhouse.cli.main import app
from runhouse.clusters import boot
from runhouse.clusters.training_job import Jobs
from runhouse.errors import (
    ClusterNotUpError,
    ConnectionWaitExpiredError,
    JobStoppedError,
    SSMUnavailableError,
)
from tests.integration import sample_sagemaker as sample
from tests.rigs.sagemaker_user import OTHERS
from tests.rigs.sagemakerbox.refusals import Refusal
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.rigs.sagemaker_user import SageMakerUser

pytestmark = [pytest.mark.timeout(120), pytest.mark.root]


@pytest.fixture(scope="module")
def cluster(sagemaker_user: SageMakerUser) -> Iterator[rh.SageMakerCluster]:
    """Give a cluster that is up."""
    made = sagemaker_user.cluster("sm", autostop_mins=45).up()
    yield made
    made.teardown()


# -- a container is a host ---------------------------------------------------------------------


def test_a_job_is_a_host_as_any_other(cluster: rh.SageMakerCluster) -> None:
    assert cluster.is_up()
    assert rh.function(sample.total).to(cluster)([1, 2, 3]) == 6
    cluster.put("numbers", [1, 2, 3])
    assert cluster.get("numbers") == [1, 2, 3]
    ((code, out, _),) = cluster.run(["ls -la ~/.rh"], stream_logs=False)
    assert code == 0
    assert "hosts" in out


def test_a_port_of_the_container_is_reached(cluster: rh.SageMakerCluster) -> None:
    served = rh.function(sample.serve).to(cluster).run()
    tunnel, port = cluster.ssh_tunnel(0, sample.PORT)
    with tunnel:

        def answer() -> bytes:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}", timeout=5) as got:
                    return bytes(got.read())
            except OSError:  # it does not listen yet
                return b""

        wait_until(answer)
    served.result(timeout=10)


def test_openssh_knows_it_by_name(
    cluster: rh.SageMakerCluster, sagemaker_user: SageMakerUser
) -> None:
    command = ["ssh", "-F", str(sagemaker_user.config), "sm", "echo $SM_CURRENT_HOST"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout == "algo-1\n", "with the variables of the image"
    text = sagemaker_user.config.read_text()
    assert text.endswith(OTHERS), "nothing else was touched"
    assert text.count("Host sm\n") == 1
    assert cluster.ssh_config_file == str(sagemaker_user.config)
    assert "algo-1." in Path(cluster.hosts_path).read_text()


def test_its_status_tells_of_job_and_price(cluster: rh.SageMakerCluster) -> None:
    told = cluster.status()
    assert (told["state"], told["autostop_mins"]) == ("up", 45)
    assert told["cloud"]["price_per_hour"] == pytest.approx(0.115)
    assert 0 < told["cloud"]["cost"] < 1
    assert told["job"]["name"] == cluster.job_name
    assert told["job"]["longest_s"] == 86400
    assert 0 < told["job"]["left_s"] < 86400


def test_the_key_went_to_the_bucket(
    cluster: rh.SageMakerCluster, sagemaker_user: SageMakerUser
) -> None:
    assert cluster.default_bucket == "sagemaker-us-east-1-123456789012"
    listed = sagemaker_user.account.ask(
        "s3", "list_objects_v2", Bucket=cluster.default_bucket, Prefix="ssh-authorized-keys/"
    )
    got = [
        sagemaker_user.account.ask(
            "s3", "get_object", Bucket=cluster.default_bucket, Key=each["Key"]
        )["Body"].read()
        for each in listed["Contents"]  # also of other users of the box
    ]
    public = Path(f"{sagemaker_user.key}.pub").read_bytes()
    assert public.startswith(b"ssh-ed25519 ")
    assert got.count(public) == 1


def test_it_is_found_by_name_from_another_process(
    cluster: rh.SageMakerCluster, sagemaker_user: SageMakerUser
) -> None:
    program = (
        "import runhouse as rh\n"
        f"sm = rh.sagemaker_cluster('sm', profile='sagemaker', ssh_key_path={sagemaker_user.key!r})"
        "\nprint(sm.get('numbers'), sm.up_if_not().job_name)\n"
    )
    cluster.put("numbers", [4, 5])
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == f"[4, 5] {cluster.job_name}\n", done.stderr


def test_the_command_line_knows_it(cluster: rh.SageMakerCluster) -> None:
    def told(*words: str) -> Any:
        done = CliRunner().invoke(app, [*words, "--json"])
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    cluster.save()
    assert told("up", "sm") == {"name": "sm", "up": True}
    assert told("status", "sm")["cloud"]["resources"] == "1x ml.m5.large in us-east-1"
    (entry,) = [each for each in told("list", "--all") if each["name"] == "sm"]
    assert (entry["kind"], entry["state"], entry["price_per_hour"]) == ("sagemaker", "up", 0.115)
    assert told("keep-warm", "sm", "--mins", "45")["autostop_mins"] == 45
    (cost,) = [each for each in told("cost")["clusters"] if each["name"] == "sm"]
    assert (cost["job"], cost["machines"], cost["state"]) == (
        cluster.job_name,
        "1x ml.m5.large",
        "up",
    )
    done = CliRunner().invoke(app, ["run", "sm", "--", "echo", "hi"])
    assert done.exit_code == 0
    cluster.delete_configs()


def test_minutes_are_changed_and_paused(cluster: rh.SageMakerCluster) -> None:
    def kept() -> str:
        ((_, out, _),) = cluster.run([f"cat {boot.AUTOSTOP_FILE}"], stream_logs=False)
        return out.strip()

    assert kept() == "45"
    with pytest.raises(ZeroDivisionError), cluster.pause_autostop():
        assert (kept(), cluster.status()["autostop_mins"]) == ("-1", -1)
        1 / 0  # noqa: B018 - it is restored whatever happens
    assert kept() == "45"
    cluster.keep_warm(50)
    assert (kept(), cluster.autostop_mins, cluster.status()["autostop_mins"]) == ("50", 50, 50)


def test_a_call_goes_on_after_the_connection_was_cut(
    cluster: rh.SageMakerCluster, sagemaker_user: SageMakerUser, tmp_path: Path
) -> None:
    del tmp_path
    remote = rh.function(sample.sleep).to(cluster)
    with ThreadPoolExecutor() as threads:
        call = threads.submit(remote, 4.0, "/tmp/cut")  # in the container
        wait_until(lambda: cluster.run(["test -e /tmp/cut"], stream_logs=False)[0][0] == 0)
        away = [Refusal(each) for each in ("ResumeSession", "StartSession")]
        with sagemaker_user.refusing(*away):
            assert sagemaker_user.ask("/box/cut", {})["cut"] >= 1
            threading.Event().wait(2)  # as long as the laptop sleeps
        assert call.result(timeout=60) == "x", "it has run once"


# -- several -----------------------------------------------------------------------------------


def test_an_image_without_sshd_gets_one(sagemaker_user: SageMakerUser) -> None:
    image = "123456789012.dkr.ecr.us-east-1.amazonaws.com/bare:1"
    made = sagemaker_user.cluster("bare", image_uri=image).up()
    assert rh.function(sample.total).to(made)([1, 2, 3]) == 6
    ((_, said, _),) = made.run(["cat /opt/ml/output/apt-get.log"], stream_logs=False)
    assert said.splitlines() == ["apt-get update -qq", "apt-get install -yqq openssh-server"]
    made.teardown()


def test_a_second_one_lives_beside_it_and_is_stopped_from_outside(
    cluster: rh.SageMakerCluster, sagemaker_user: SageMakerUser
) -> None:
    other = sagemaker_user.cluster("other", connect_by="activation").up()
    job = other.job_name
    assert job is not None
    assert job != cluster.job_name
    assert other.ssh_creds()["ssh_proxy_command"].split()[3].startswith("mi-")
    remote = rh.function(sample.sleep).to(other)
    by_id = rh.sagemaker_cluster(
        "by-id",
        instance_id=other.ssh_creds()["ssh_proxy_command"].split()[3],
        profile="sagemaker",
        ssh_key_path=sagemaker_user.key,
    )
    assert by_id.run(["echo hi"], stream_logs=False) == [(0, "hi\n", "")]
    by_id.ssh_config_file, by_id._job = other.ssh_config_file, None
    with ThreadPoolExecutor() as threads:
        call = threads.submit(remote, 600, "/tmp/stopped")
        wait_until(lambda: other.run(["test -e /tmp/stopped"], stream_logs=False)[0][0] == 0)
        sagemaker_user.account.ask("sagemaker", "stop_training_job", TrainingJobName=job)
        with pytest.raises(JobStoppedError, match="does not run any more") as error:
            call.result(timeout=60)
    assert (error.value.job, error.value.cluster) == (job, "other")
    assert not other.is_up()
    with pytest.raises(ClusterNotUpError):
        other.keep_warm()
    with pytest.raises(JobStoppedError):
        by_id.up()
    other.teardown()
    by_id.teardown()
    assert "Host other\n    HostName algo" not in sagemaker_user.config.read_text()
    assert cluster.get("numbers", default=[]) is not None, "the first one is not touched"


def test_two_nodes_and_their_warm_pool(
    sagemaker_user: SageMakerUser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(boot, "_MINUTE_S", 1)
    monkeypatch.setattr(boot, "_LOOK_S", 1)
    two = sagemaker_user.cluster("two", instance_count=2, warm_pool_mins=5).up()
    job = two.job_name
    assert job is not None
    outputs = two.run(["echo $SM_CURRENT_HOST"], stream_logs=False, node="all")
    assert [out for _, out, _ in outputs] == ["algo-1\n", "algo-2\n"]
    assert "Host two-algo-2\n" in sagemaker_user.config.read_text()
    two.run(["nohup python -m http.server 9000 >/dev/null 2>&1 &"], stream_logs=False, node=1)
    assert rh.function(sample.reach).to(two)("algo-2", 9000) == "algo-1"
    two.keep_warm(1)  # then the head stops the whole job
    two.disconnect()
    wait_until(lambda: sagemaker_user.job(job)["TrainingJobStatus"] == "Stopped", timeout_s=40)
    assert sagemaker_user.job(job)["WarmPoolStatus"]["Status"] == "Available", "it still costs"
    two.teardown()
    assert not two.is_up()
    assert two.status()["state"] == "down"
    assert job not in sagemaker_user.running()
    told = sagemaker_user.job(job)
    assert (told["TrainingJobStatus"], told["WarmPoolStatus"]["Status"]) == (
        "Stopped",
        "Terminated",
    )
    assert sagemaker_user.config.read_text().endswith(OTHERS)
    assert "Host two" not in sagemaker_user.config.read_text()
    assert sagemaker_user.connections(job) == []
    two.teardown()


def test_questions_launch_nothing_and_calls_do(sagemaker_user: SageMakerUser) -> None:
    asked, running = sagemaker_user.cluster("asked"), sagemaker_user.running()
    questions: list[Callable[[], object]] = [
        *(asked.keys, asked.runs, asked.envs, asked.secrets, asked.clear, asked.cancel_all),
        *(asked.prune_envs, asked.remove_secrets),
        *(lambda: asked.get("a"), lambda: asked.get("a", remote=True), lambda: asked.get_run("a")),
        *(lambda: asked.call("a", "b"), lambda: asked.delete("a"), lambda: asked.rename("a", "b")),
        lambda: asked.remove_conda_env("a"),
    ]
    for question in questions:
        with pytest.raises(ClusterNotUpError, match=r"Bring it up with cluster\.up\(\)"):
            question()
    assert asked.status()["state"] == "down"
    assert sagemaker_user.running() == running
    remote = rh.function(sample.total).to(asked)
    asked.teardown()
    with pytest.raises(ClusterNotUpError):
        asked.keys()
    assert remote.get_or_call("sum", [1, 2]) == 3
    assert asked.get("sum") == 3
    asked.teardown()


# -- what goes wrong on the way up -------------------------------------------------------------


def test_ctrl_c_tells_which_job_goes_on(
    sagemaker_user: SageMakerUser, capsys: pytest.CaptureFixture[str]
) -> None:
    made = sagemaker_user.cluster("interrupted", job_name="interrupted-1")
    jobs = Jobs(sagemaker_user.account, "interrupted")

    def interrupt() -> None:
        wait_until(lambda: jobs.find("interrupted-1"))
        _thread.interrupt_main()

    with sagemaker_user.faults(startup_s=60):
        thread = threading.Thread(target=interrupt)
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            made.up()
        thread.join()
        said = capsys.readouterr().err
        assert "The job interrupted-1 of interrupted goes on, and costs" in said
        assert "rh down interrupted" in said
        assert made.status()["state"] == "launching"
    sagemaker_user.account.ask("sagemaker", "stop_training_job", TrainingJobName="interrupted-1")
    made.teardown()


def test_who_cannot_connect_in_time_is_told_that_the_job_runs(
    sagemaker_user: SageMakerUser, capsys: pytest.CaptureFixture[str]
) -> None:
    made = sagemaker_user.cluster("deaf", connection_wait_time=1)
    with (
        sagemaker_user.refusing(Refusal("StartSession", "TargetNotConnected", "not connected")),
        pytest.raises(ConnectionWaitExpiredError, match="The job goes on, and costs"),
    ):
        made.up()
    with (
        sagemaker_user.refusing(Refusal("StartSession", "AccessDeniedException", "no")),
        pytest.raises(SSMUnavailableError) as error,
    ):
        made.up()
    assert error.value.code == "AccessDenied"
    assert " of deaf goes on, and costs. Stop it with" in capsys.readouterr().err
    made.teardown()
    assert not made.is_up()
