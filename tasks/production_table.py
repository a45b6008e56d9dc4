"""What the operator reads at the end of a production."""

from collections.abc import Iterator, Mapping

from sst1m.layout_mc import PARTICLES, ROLES, ProductionLayout
from sst1m.production.record import is_closed

__all__ = ["production_table"]


def production_table(layout: ProductionLayout, until: str, digests: Mapping[str, str]) -> str:
    """
    Return the state of a production as a table for people, from what lies on the disk.

    Parameters
    ----------
    layout : ProductionLayout
        Paths of the production.
    until : str
        The stage that was asked for.
    digests : mapping
        Of the files that say what is to be made.
    """
    if not layout.root.is_dir():
        return ""
    closed = is_closed(layout.record, until=until, digests=digests)
    state = f"complete ({until})" if closed else f"not complete ({until})"
    lines = [
        f"production {layout.name}: {state}",
        f"  {'sample':<24}{'nodes':>8}{'shards':>10}{'failed':>10}{'merged':>10}",
    ]
    lines += _sample_lines(layout)
    lines.append(f"  products: {layout.root}")
    if layout.report.exists():
        lines.append(f"  report: {layout.report}")
    return "\n".join(lines)


def _sample_lines(layout: ProductionLayout) -> Iterator[str]:
    for particle in PARTICLES:
        for role in ROLES:
            nodes = list((layout.root / "dl1" / particle).glob(f"*/{role}"))
            if not nodes:
                continue
            shards = sum(1 for node in nodes for _ in (node / "shards").glob("[!.]*_dl1.h5"))
            failed = sum(1 for node in nodes for _ in (node / "failed").glob("[!.]*.json"))
            merged = sum(1 for node in nodes for _ in node.glob("[!.]*_dl1.h5"))
            name = f"{particle} {role}"
            yield f"  {name:<24}{len(nodes):>8}{shards:>10}{failed:>10}{merged:>10}"
