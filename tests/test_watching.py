"""The watch that campaigns keep: it sees a file that is written under its final name, and no other."""

import pytest


def test_a_file_that_appears_by_renaming_passes(tmp_path, watched):
    with watched(tmp_path, "night.log"):
        for directory in (tmp_path, tmp_path / "new" / "newer"):
            directory.mkdir(parents=True, exist_ok=True)
            part = directory / ".product.17.part.h5"
            part.write_text("numbers")
            part.rename(directory / "product.h5")
        (tmp_path / "night.log").write_text("begun\n")


@pytest.mark.parametrize("content", ["numbers", ""])
def test_a_file_that_is_written_under_its_name_is_seen(tmp_path, watched, content):
    with pytest.raises(AssertionError, match=r"product\.h5"), watched(tmp_path):
        (tmp_path / "product.h5").write_text(content)
