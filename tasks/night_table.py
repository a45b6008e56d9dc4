"""What the observer reads at the end: the state of every raw file, and what came of each target."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from sst1m.layout import side_paths
from sst1m.manifest import STATES, Manifest, ManifestRow
from sst1m.night_record import ScienceState
from sst1m.provenance import read_provenance

__all__ = ["night_table", "science_table"]

_LONGEST_LIST = 20


def night_table(
    manifest: Manifest, path: Path, states: Sequence[ScienceState] = (), problem: str = ""
) -> str:
    """
    Return the state of a night as a table for people.

    Parameters
    ----------
    manifest : Manifest
        The night.
    path : Path
        Where the manifest is.
    states : sequence of ScienceState
        Products after DL1; they count for whether the night is complete.
    problem : str
        Why this is the night as an earlier call has seen it; empty: it is of now.
    """
    counts = manifest.counts()
    total = sum(sum(of_tel.values()) for of_tel in counts.values())
    open_products = any(state.state in ("quarantined", "waiting") for state in states)
    complete = not manifest.in_state("quarantined", "waiting") and not open_products and not problem
    lines = [
        f"night {manifest.date:%Y-%m-%d}: {'complete' if complete else 'not complete'}, {total} raw files"
    ]
    lines += [f"  as an earlier call has seen it; now: {problem}"] if problem else []
    lines.append(f"  {'telescope':<10}" + "".join(f"{state:>13}" for state in STATES))
    lines += [
        f"  {tel_id:<10}" + "".join(f"{of_tel[state]:>13}" for state in STATES)
        for tel_id, of_tel in sorted(counts.items())
    ]
    open_rows = manifest.in_state("quarantined", "waiting")
    lines += [f"  {row.state}: tel {row.tel} {row.file}: {_brief(row)}" for row in open_rows[:_LONGEST_LIST]]
    if len(open_rows) > _LONGEST_LIST:
        lines.append(f"  and {len(open_rows) - _LONGEST_LIST} more")
    lines.append(f"  manifest: {path}")
    return "\n".join(lines)


def _brief(row: ManifestRow) -> str:
    """Return the reason without the path of the raw file, which the line names already."""
    path, separator, rest = row.reason.partition(f"/{row.file}: ")
    return rest if separator and " " not in path else row.reason


def science_table(states: Sequence[ScienceState], root: Path) -> str:
    """
    Return what came of each target as a table for people.

    Parameters
    ----------
    states : sequence of ScienceState
        Products after DL1.
    root : Path
        Directory of the night.
    """
    lines = list(_photon_lists(states, root))
    open_states = [state for state in states if state.state in ("quarantined", "waiting")]
    lines += [f"  {state.state}: {state.product}: {state.reason}" for state in open_states[:_LONGEST_LIST]]
    if len(open_states) > _LONGEST_LIST:
        lines.append(f"  and {len(open_states) - _LONGEST_LIST} more")
    lines += [
        f"  skipped: {state.target} {state.setup}: {state.reason}"
        for state in states
        if state.state == "skipped"
    ]
    return "\n".join(lines)


def _photon_lists(states: Sequence[ScienceState], root: Path) -> Iterator[str]:
    done = [state for state in states if state.level.startswith("dl3") and state.state == "done"]
    if done:
        yield f"  {'target':<16}{'set-up':<14}{'lists':>6}{'photons':>9}{'live time':>11}  index"
    for state in done:
        counts = (read_provenance(side_paths(root / state.product)["json"]) or {}).get("counts")
        facts = counts if isinstance(counts, dict) else {}
        name = state.setup if state.level == "dl3" else f"{state.setup} (eff)"
        yield (
            f"  {state.target:<16}{name:<14}{len(facts.get('observations', [])):>6}"
            f"{facts.get('n_written', 0):>9}{_duration(float(facts.get('livetime_s', 0.0))):>11}"
            f"  {root / state.product}"
        )


def _duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 600 else f"{seconds / 3600:.2f} h"
