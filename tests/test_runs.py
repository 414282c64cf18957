"""The revision in run.json, and that asking for it leaves nothing in the checkout."""

import os
import resource
import shutil
import subprocess

import pytest

from deeplab_tf.runs import provenance

pytestmark = pytest.mark.skipif(not shutil.which("git"), reason="git is not installed")


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A repository of one commit that holds the code."""
    (tmp_path / "runs.py").write_text("first")
    for command in (
        ["init", "-q"],
        ["add", "."],
        ["-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-q", "-m", "first"],
    ):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "runs.py"))
    return tmp_path


def test_the_revision_tells_whether_files_differ(checkout):
    head = subprocess.check_output(
        ["git", "rev-parse", "HEAD"], cwd=checkout, text=True
    )
    (checkout / "new").touch()
    assert provenance._git_revision() == head.strip()
    (checkout / "runs.py").write_text("second")
    assert provenance._git_revision() == f"{head.strip()}-dirty"


def test_no_lock_is_left_where_files_may_not_grow(checkout):
    os.utime(checkout / "runs.py", (1, 1))  # git looks at it anew
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, before[1]))
    try:
        assert len(provenance._git_revision()) == 40
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not (checkout / ".git" / "index.lock").exists()
