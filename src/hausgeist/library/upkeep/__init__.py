"""What is done with installed models besides answering: versions and rollback, verification, garbage, one file for machines without a network."""

from hausgeist.library.upkeep.parts import Downloading, Upkeep, upkeep

__all__ = ["Downloading", "Upkeep", "upkeep"]
