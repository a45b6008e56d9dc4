"""Science of the two SST-1M telescopes: files and arrays in, files and arrays out."""

from pathlib import Path

from .kernel_cache import discard_stale_kernels

__version__ = "0.1.0"

discard_stale_kernels(Path(__file__).parent)
