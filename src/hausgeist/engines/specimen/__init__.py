"""Models of random weights: real files that the engine loads, whose answers are noise. For tests, measurements and a first try, with no download."""

from hausgeist.engines.specimen.files import NAME
from hausgeist.engines.specimen.shaped import PRECISIONS, Precision, write_shaped
from hausgeist.engines.specimen.shapes import SHAPES, ModelShape
from hausgeist.engines.specimen.tiny import write_adapter, write_specimen
from hausgeist.engines.specimen.vision import write_projector

__all__ = ["NAME", "PRECISIONS", "SHAPES", "ModelShape", "Precision", "write_adapter", "write_projector", "write_shaped", "write_specimen"]
