"""Files of models from the net into the blobs: in parallel, resumed after anything, verified before they are visible. See `Downloads.fetch`."""

from hausgeist.library.download.outbound import Outbound, Patience
from hausgeist.library.download.service import Downloads

__all__ = ["Downloads", "Outbound", "Patience"]
