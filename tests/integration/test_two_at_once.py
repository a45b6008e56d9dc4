"""Two commands for the same night at once do no harm."""

from pathlib import Path

import pytest


@pytest.mark.parametrize("n_commands", [2, 4])
def test_commands_at_once_all_end_well_and_each_run_is_reduced_once(
    n_commands, make_night, warm, differing_tables
):
    night, alone = make_night(), make_night()
    for each in (night, alone):
        for run in (1, 2):
            each.add(21, run)
            each.add(22, run, "Mrk421,W2,166.1,38.2")
    assert warm(alone).wait() == 0
    commands = [warm(night, before=lambda: count_reductions(night.base)) for _ in range(n_commands)]
    for command in commands:
        assert command.wait() == 0, command.text()
    assert len(night.products()) == len(alone.products()) == 4
    for product in night.products():
        assert differing_tables(product, alone.ana / product.relative_to(night.ana)) == []
    reduced = [name for path in night.base.glob("reduced-*") for name in path.read_text().split()]
    assert sorted(reduced) == sorted(product.name for product in night.products())
    assert {row["state"] for row in night.manifest().values()} == {"done"}
    assert not [path for path in night.ana.rglob("*") if ".part" in path.name]


def count_reductions(directory: Path) -> None:
    """Note in a file of this process which products it has committed."""
    import os

    replace, notes = os.replace, directory / f"reduced-{os.getpid()}"

    def replaced(source, destination):
        replace(source, destination)
        if str(destination).endswith("_dl1.h5"):
            with notes.open("a") as file:
                file.write(f"{Path(destination).name}\n")

    os.replace = replaced


def test_one_command_goes_on_where_another_is_killed(make_night, warm):
    night = make_night()
    night.add(21, 1)
    night.add(22, 1)
    first, second = warm(night), warm(night)
    first.kill()
    first.wait()
    assert second.wait() == 0, second.text()
    assert len(night.products()) == 2
