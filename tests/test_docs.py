"""What the pages for users name is there."""

import re

import pytest
from conftest import ROOT

from deeplab_tf.config import Config

PAGES = [
    path
    for pattern in ("*.md", "docs/*.md", "datasets/*.md", "export/*.md")
    for path in sorted(ROOT.glob(pattern))
    if path.name != "CHANGELOG.md"
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_settings_and_links_exist(page):
    text = page.read_text()
    named = set(re.findall(r"--(?:no)?([a-z]+\.[a-z_]+)", text))
    unknown = {name for name in named if name.split(".")[1] != "md"}
    assert unknown <= set(Config().leaves())
    links = re.findall(r"\]\(([\w./-]+\.\w+)\)", text)
    assert all((page.parent / link).exists() for link in links)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_exist(page):
    text = page.read_text()
    for module in set(re.findall(r"python -m (deeplab_tf[.a-z0-9_]*[a-z0-9])", text)):
        place = ROOT / module.replace(".", "/")
        assert place.with_suffix(".py").exists() or (place / "__main__.py").exists()
    for script in set(re.findall(r"python ((?:\w+/)+\w+\.py)", text)):
        assert (ROOT / script).exists()
