from __future__ import annotations

from pathlib import Path

import pytest

from puna_cli.errors import CommandError
from puna_cli.paths import cache_folder, cluster_paths, models_folder, state_folder


def test_folders_follow_the_base_directory_rules() -> None:
    home = {"HOME": "/home/u"}
    assert cache_folder(home) == Path("/home/u/.cache/puna")
    assert state_folder(home) == Path("/home/u/.local/state/puna")
    assert models_folder({"XDG_CACHE_HOME": "/c"}) == Path("/c/puna/models")
    assert cluster_paths({"XDG_STATE_HOME": "/s"}, "a").root == Path("/s/puna/a")


@pytest.mark.parametrize("name", ["", "A", "a_b", "../x", "-a", "a-", "a" * 21])
def test_a_name_that_is_no_short_label_is_refused(name: str) -> None:
    with pytest.raises(CommandError, match="--name"):
        cluster_paths({"HOME": "/h"}, name)
