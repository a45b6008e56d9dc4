"""Science of the two SST-1M telescopes: files and arrays in, files and arrays out."""

__version__ = "0.1.0"
