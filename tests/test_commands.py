"""The command lines as a user runs them: one line and exit code 1 for a mistake."""

import json
import os
import re
import subprocess
import sys

import pytest
import tiny_dataset
from conftest import ROOT

from deeplab_tf.config import Config


def run(module, *flags, limit=None):
    command = [sys.executable, "-m", f"deeplab_tf.{module}", *flags]
    if limit is not None:  # of the size of any file it writes, as a full disk
        command = [
            "bash",
            "-c",
            f'ulimit -f {limit}; trap "" XFSZ; exec "$@"',
            "_",
            *command,
        ]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def assert_one_clear_line(result, *words):
    assert result.returncode == 1, result.stderr
    assert "Traceback" not in result.stderr
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, result.stderr
    for word in words:
        assert word in lines[0]


@pytest.fixture(scope="module")
def dataset_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    tiny_dataset.write(folder)
    return os.fspath(folder)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--model.backbone=vgg"], ["model.backbone", "mobilenet_v2", "xception_65"]),
        (["--modle.backbone=vgg"], ["modle.backbone", "model.backbone"]),
        (["--train.steps=many"], ["train.steps", "many"]),
        (["--model.output_stride=12"], ["model.output_stride", "8, 16, 32", "12"]),
        (["--model.backbone", "=", "xception_65"], ["model.backbone"]),
        (["--train.steps", "=", "5"], ["--name=value without spaces"]),
        (["--preset=vok"], ["preset"]),
        ([], ["--data.dataset_dir is missing"]),
        (["--data.dataset_dir=/nowhere"], ["/nowhere", "dataset.json", "convert.py"]),
        (["--config=/nowhere.json"], ["/nowhere.json"]),
    ],
)
def test_wrong_flags(flags, words, tmp_path):
    run_dir = tmp_path / "run"
    assert_one_clear_line(run("train", f"--run_dir={run_dir}", *flags), *words)
    assert not run_dir.exists()


def test_run_dir_is_required():
    assert_one_clear_line(run("train"), "run_dir")


def test_precedence_is_defaults_preset_config_flags(dataset_dir, tmp_path):
    settings = tmp_path / "settings.json"
    settings.write_text(json.dumps({"train": {"steps": 7, "seed": 3}}))
    code = (
        "from deeplab_tf import cli; from deeplab_tf.config import setting_flags\n"
        "setting_flags.define_config()\n"
        "cli.run(lambda: print("
        "*[setting_flags.config_from_flags().leaves()[n] for n in "
        "('train.steps', 'train.seed', 'train.batch_size', 'data.crop_size', "
        "'optimizer.weight_decay', 'model.image_pooling')]))"
    )
    result = subprocess.run(
        [
            sys.executable,
            "-c",
            code,
            "--preset=demo",
            f"--config={settings}",
            "--train.seed=4",
            "--optimizer.weight_decay=none",
            "--nomodel.image_pooling",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    batch_size = Config().train.batch_size
    assert batch_size != 8
    assert result.stdout.split("\n")[0] == "7 4 8 (129, 129) None False", result.stderr


def test_full_disk_names_the_file_and_leaves_no_half_run(dataset_dir, tmp_path):
    run_dir = tmp_path / "run"
    result = run(
        "train",
        f"--run_dir={run_dir}",
        f"--data.dataset_dir={dataset_dir}",
        "--preset=demo",
        limit=1,
    )
    assert_one_clear_line(result, "ckpt-0", "Make space")
    assert not (run_dir / "run.json").exists()
    assert not list(run_dir.glob("checkpoints/ckpt-0*"))


@pytest.mark.parametrize("module", ["eval", "vis"])
def test_a_folder_that_is_no_run_is_named(module, tmp_path):
    extra = ["--split=val", f"--output_dir={tmp_path}"] if module == "vis" else []
    result = run(module, f"--run_dir={tmp_path}", *extra)
    assert_one_clear_line(result, "run.json", "--run_dir")


def script(code, *flags, shell='exec "$@"', **environment):
    """Runs the lines as the main function of a command, from a shell."""
    body = "\n".join(f"    {line}" for line in code.splitlines())
    program = f"""
import os, sys
from deeplab_tf import cli
from deeplab_tf.errors import UserError

def main():
{body}

cli.run(main)
"""
    return subprocess.run(
        ["bash", "-c", shell, "_", sys.executable, "-c", program, *flags],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("1 / 0", ["unexpected ZeroDivisionError: division by zero", "--verbose"]),
        ("main()", ["unexpected RecursionError"]),
        ("open('a\\0b')", ["unexpected ValueError: embedded null byte"]),
        ("open('/no/where')", ["No such file or directory: '/no/where'"]),
        ("raise UserError('two\\n  lines\\0')", ["error: two lines\\x00"]),
        ("raise SyntaxError('broken PNG file')", ["broken PNG file"]),
        ("raise UserError('\\udcff is no UTF-8')", ["\\udcff is no UTF-8"]),
    ],
)
def test_whatever_goes_wrong_is_one_line(code, words):
    result = script(code)
    assert_one_clear_line(result, *words)
    assert result.stderr.count("\n") == 1


def test_verbose_shows_where():
    result = script("1 / 0", "--verbose")
    assert result.returncode == 1
    assert "Traceback" in result.stderr
    assert "in main" in result.stderr


def test_interruption_has_its_own_exit_code():
    # What runs in the background may have been told to ignore it.
    code = "import signal\nsignal.signal(2, signal.default_int_handler)\n"
    result = script(f"{code}os.kill(os.getpid(), 2)\nimport time\ntime.sleep(9)")
    assert result.returncode == 130
    assert result.stderr == "error: interrupted.\n"


def test_help_groups_the_settings_that_matter_and_helpfull_shows_all():
    short, full = (run("train", flag).stdout for flag in ("--help", "--helpfull"))
    heading = "The optimiser, its learning rate and weight decay.\n  --optimizer."
    assert heading in short
    assert heading in full
    ours = full.partition("What absl gives")[0]
    hidden = ours.count("\n  --") - short.count("\n  --")
    assert f"--helpfull shows {hidden} more flags." in short
    for name in Config().leaves():
        assert re.search(rf"^  --(\[no\])?{re.escape(name)}: ", full, re.M)


@pytest.mark.parametrize("code", ["print('line\\n' * 10**5)", "pass"])
@pytest.mark.parametrize("flag", ["--help", "--verbose"])
def test_nobody_who_reads_the_output_is_no_error(code, flag):
    result = script(code, flag, shell='"$@" | true; exit ${PIPESTATUS[0]}')
    silent = code == "pass" and flag != "--help"
    assert (result.returncode, result.stderr) == (0 if silent else 141, "")


def test_another_pipe_that_breaks_is_told():
    code = "r, w = os.pipe()\nos.close(r)\nos.write(w, b'x')"
    assert_one_clear_line(script(code), "Broken pipe")


def test_closed_streams_are_no_other_file(tmp_path):
    """A file that takes the number of standard error would get its messages."""
    path = tmp_path / "result"
    code = (
        f"file = open({str(path)!r}, 'w')\n"
        "os.write(2, b'a message of TensorFlow')\n"
        "file.write('whole')\n"
        "file.close()\n"
        "raise UserError('nobody reads this')"
    )
    result = script(code, shell='exec "$@" 0<&- 1>&- 2>&-')
    assert result.returncode == 1
    assert path.read_text() == "whole"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no full device here")
def test_full_output_is_told_and_full_errors_do_no_harm():
    result = script(
        "print('a table')", shell='exec "$@" > /dev/full', PYTHONUNBUFFERED=""
    )
    assert_one_clear_line(result, "No space left on device: 'standard output'")
    assert result.stderr.count("\n") == 1
    assert script("1 / 0", shell='exec "$@" 2> /dev/full').returncode == 1


def test_names_that_the_locale_cannot_say_are_printed():
    code = "print('\\udcff', '\\u00e4')"
    result = script(code, LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    assert (result.returncode, result.stdout) == (0, "\\udcff \\xe4\n")


@pytest.mark.parametrize(
    "text",
    ["garbage", "[]", '{"cluster": []}', '{"cluster": {"worker": 3}}', "[" * 9999],
)
def test_tf_config_that_is_none_is_one_line(text):
    result = script("cli.import_tensorflow()", TF_CONFIG=text)
    assert_one_clear_line(result, "TF_CONFIG must be JSON as", text[:9])
    assert result.stderr.count("\n") == 1


def test_what_is_set_for_all_of_keras_is_not_for_a_run(tmp_path):
    settings = {
        "floatx": "float16",
        "epsilon": 0.5,
        "backend": "torch",
        "image_data_format": "channels_first",
    }
    (tmp_path / "keras.json").write_text(json.dumps(settings))
    code = (
        "cli.import_tensorflow()\n"
        "import keras\n"
        "c = keras.config\n"
        "print(c.backend(), c.floatx(), c.epsilon(), c.image_data_format(),"
        " c.dtype_policy().name)"
    )
    environment = {"KERAS_HOME": str(tmp_path), "KERAS_BACKEND": "jax"}
    result = script(code, **environment)
    wanted = "tensorflow float32 1e-07 channels_last float32\n"
    assert (result.stdout, result.stderr) == (wanted, "")
    (tmp_path / "keras.json").write_text('{"floatx": "int3"}')
    assert_one_clear_line(script(code, **environment), "keras.json", "int3")
