"""A conversion that is stopped at any moment goes on and leaves nothing behind."""

import functools
import os
import pathlib
import resource
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from conversion_runs import command, contents, convert, examples, refused

from deeplab_tf.data import sources
from deeplab_tf.data.conversion.output import Output
from deeplab_tf.data.conversion.shards import plan
from deeplab_tf.data.conversion.workers import run_tasks

EXECUTE = functools.partial(run_tasks, num_workers=1)
SHAPES = ("--dataset=shapes", "--num_examples=64", "--num_shards=6", "--workers=2")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    convert(*SHAPES, f"--output_dir={folder}")
    return contents(folder)


def start(folder):
    return subprocess.Popen(
        command(*SHAPES, f"--output_dir={folder}"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def kill(process, workers_too):
    if workers_too:
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()  # the workers are left to notice by themselves
    process.wait()


def test_ten_kills_at_random_moments(undisturbed, tmp_path):
    moments = np.random.default_rng().uniform(0.3, 1.2, 10)
    folder, folders = tmp_path / "0", 1
    for number, moment in enumerate(moments):
        process = start(folder)
        time.sleep(moment)
        while process.poll() is not None:  # it came to its end before: another one
            assert contents(folder) == undisturbed
            folder, folders = tmp_path / str(folders), folders + 1
            process = start(folder)
            time.sleep(0.4)
        kill(process, workers_too=number % 2 == 0)
    convert(*SHAPES, f"--output_dir={folder}", check=False)  # or already complete
    assert contents(folder) == undisturbed


@pytest.mark.parametrize("moved", [0, 1, 7, 12])
def test_stopped_while_shards_are_moved_to_their_names(undisturbed, tmp_path, moved):
    source = sources.open_source("shapes", "", {"num_examples": 64})
    shards = [
        shard
        for split in ("train", "val")
        for shard in plan(source.info(), split, source.samples(split), 6)
    ]
    output = Output(tmp_path)
    output.write(shards, EXECUTE)
    for shard in shards[:moved]:
        os.replace(output.partial / shard.file, tmp_path / shard.file)
    done = convert(*SHAPES, f"--output_dir={tmp_path}")
    assert "12 of 12 shards are there already" in done.stdout
    assert contents(tmp_path) == undisturbed


def test_damaged_finished_shard_is_written_anew(undisturbed, tmp_path):
    source = sources.open_source("shapes", "", {"num_examples": 64})
    shards = plan(source.info(), "train", source.samples("train"), 6)
    Output(tmp_path).write(shards, EXECUTE)
    path = tmp_path / ".partial" / shards[2].file
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data)
    done = convert(*SHAPES, f"--output_dir={tmp_path}")
    assert "5 of 12 shards are there already" in done.stdout
    assert contents(tmp_path) == undisturbed


def test_stopped_after_all_but_the_waste_was_done(undisturbed, tmp_path):
    for name, data in undisturbed.items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / ".partial").mkdir()
    (tmp_path / ".partial" / "train-00000-of-00006.json").write_text("{}")
    convert(*SHAPES, f"--output_dir={tmp_path}")
    assert contents(tmp_path) == undisturbed


@pytest.mark.parametrize("workers", [1, 2])
def test_full_disk(undisturbed, tmp_path, workers):
    """No file may grow beyond 100 kB: a shard has twice that."""

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    arguments = [*SHAPES[:-1], f"--workers={workers}", f"--output_dir={tmp_path}"]
    done = subprocess.run(
        command(*arguments), preexec_fn=limit, capture_output=True, text=True
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert "File too large" in line
    assert "Finished shards are kept" in line
    assert not list(tmp_path.glob("*.*record"))
    assert not [p for p in (tmp_path / ".partial").iterdir() if p.suffix == ".tfrecord"]
    convert(*SHAPES, f"--output_dir={tmp_path}")
    assert contents(tmp_path) == undisturbed


def test_foreign_shards_are_not_mixed_in(tmp_path):
    other = tmp_path / "train-00000-of-00003.tfrecord"
    other.touch()
    line = refused(*SHAPES, f"--output_dir={tmp_path}")
    assert line.startswith(str(other))


def test_a_split_given_twice_is_refused(tmp_path):
    line = refused(*SHAPES, "--splits=val,val", f"--output_dir={tmp_path}")
    assert line == "split 'val' is given twice; give it once."


def test_killed_worker_is_reported(tmp_path):
    process = subprocess.Popen(
        command("--dataset=shapes", "--workers=2", f"--output_dir={tmp_path}"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children")
    for _ in range(200):
        workers = children.read_text().split()
        if len(workers) == 2:
            break
        time.sleep(0.02)
    os.kill(int(workers[0]), signal.SIGKILL)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    (line,) = errors.splitlines()
    assert "killed by signal 9" in line


def test_workers_end_with_their_parent(tmp_path):
    """Also one that waits: it must not need an example to notice."""
    (tmp_path / "asleep.py").write_text(
        "import time\n"
        "from deeplab_tf.data.conversion import workers\n"
        "def sleep(tick):\n"
        "    time.sleep(60)\n"
        "workers.run_tasks([sleep] * 2, 2, 'sleep', 2)\n"
    )
    process = subprocess.Popen([sys.executable, tmp_path / "asleep.py"])
    children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children")
    started = wait_for(lambda: len(children.read_text().split()) == 2)
    workers = children.read_text().split()
    process.kill()
    process.wait()
    assert started
    assert wait_for(lambda: not any(map(is_alive, workers)))


def is_alive(process):
    try:
        state = pathlib.Path(f"/proc/{process}/stat").read_text()
    except FileNotFoundError:
        return False
    return state.rpartition(")")[2].split()[0] != "Z"  # an orphan nobody asks for


def wait_for(condition):
    for _ in range(500):
        if condition():
            return True
        time.sleep(0.02)
    return False


def test_examples_keep_the_order_of_the_source(undisturbed, tmp_path):
    for name, data in undisturbed.items():
        (tmp_path / name).write_bytes(data)
    assert list(examples(tmp_path, "val")) == [f"val_{i:05d}" for i in range(16)]
