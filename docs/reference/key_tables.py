"""The tables of keys in the page of the configuration, from the models."""

import re

from sst1m.config import DataConfig, McConfig, key_table

__all__ = ["with_key_tables"]

MODELS = {"Keys of a data configuration": DataConfig, "Keys of an MC configuration": McConfig}


def with_key_tables(text: str) -> str:
    """Return the page with the tables that the models have now."""
    for heading, model in MODELS.items():
        section = re.compile(rf"(?<=^## {heading}\n\n)(?:\|.*\n)+", re.MULTILINE)
        table = key_table(model)
        text, number = section.subn(table.replace("\\", r"\\"), text)
        if number != 1:
            raise SystemExit(f"docs/configuration.md: has no table below '## {heading}'")
    return text
