"""The page of a production: what was made, how well it works, and what is missing."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from ..checkpoint import committed, write_json
from ..errors import InputError
from .html import number, state
from .page import render_page
from .production_facts import PRODUCTION_SCHEMA, Facts, production_facts
from .production_interpolation import interpolation_section
from .production_performance import performance_sections
from .production_sections import (
    forests_section,
    irfs_section,
    plan_section,
    problems,
    problems_section,
    samples_section,
)

if TYPE_CHECKING:
    from ..layout_mc import ProductionLayout
    from ..production.model import Production

__all__ = ["FACTS_NAME", "production_page", "render_production"]

#: Beside the page: all of its numbers.
FACTS_NAME = "report.json"


def production_page(
    layout: "ProductionLayout", production: "Production", output: Path, *, irf_dir: Path | None = None
) -> Facts:
    """
    Write the page of a production, and beside it ``report.json`` with all that it shows.

    What is not there yet, or broken, is named on the page with its reason.

    Parameters
    ----------
    layout : ProductionLayout
        Where the files of the production are.
    production : Production
        What was to be made.
    output : Path
        The page, ``index.html``; one file without references to others.
    irf_dir : Path, optional
        Root of the responses.

    Returns
    -------
    dict
        Content of ``report.json``.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    # What the page shows is what a reader of the JSON gets: no value takes another way.
    facts = json.loads(json.dumps(production_facts(layout, production, output, irf_dir), default=str))
    text = render_production(facts)
    write_json(output.with_name(FACTS_NAME), facts)
    with committed(output) as part:
        part.write_text(text, encoding="utf-8")
    return facts


def render_production(facts: Facts) -> str:
    """
    Return the page as text.

    Parameters
    ----------
    facts : dict
        Content of ``report.json``.

    Raises
    ------
    InputError
        If it is of another schema.
    """
    if facts.get("schema") != PRODUCTION_SCHEMA:
        raise InputError(
            f"the facts of the production have the schema {facts.get('schema')}, this version reads "
            f"{PRODUCTION_SCHEMA}; make the page anew"
        )
    found = problems(facts)
    thrown = sum(sample.get("thrown") or 0 for sample in facts["samples"])
    verdict = state("good", "complete") if not found else state("bad", f"{len(found)} problems")
    sections = [
        problems_section(found),
        plan_section(facts),
        samples_section(facts),
        forests_section(facts),
        *performance_sections(facts),
        irfs_section(facts),
        interpolation_section(facts),
    ]
    return render_page(
        f"Production {facts['name']}",
        f"Written {facts['written']} by sst1m {facts['software'].get('sst1m', '')}",
        sections,
        facts=[
            ("State", verdict),
            ("Nodes", number(len(facts["nodes"]))),
            ("Showers thrown", number(thrown)),
            ("Array events", number(sum(sample.get("triggered") or 0 for sample in facts["samples"]))),
            ("Source", facts["plan"]["source"]["kind"]),
        ],
    )
