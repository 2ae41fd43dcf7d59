"""What the dialects are handed by `app.py`."""

from __future__ import annotations

from dataclasses import dataclass, field

from hausgeist.conversations.batches import Batches
from hausgeist.conversations.completions import Completions
from hausgeist.conversations.responses import Responses
from hausgeist.conversations.service import Conversations
from hausgeist.files import Files, Uploads
from hausgeist.gateway.webp import Converter
from hausgeist.governance.egress import Egress
from hausgeist.governance.service import Governor
from hausgeist.knowledge.attached import Attached
from hausgeist.knowledge.stores.documents import Documents
from hausgeist.knowledge.stores.search import Search
from hausgeist.knowledge.stores.service import Stores
from hausgeist.library.install import Installer
from hausgeist.library.push import Pusher
from hausgeist.library.service import Library
from hausgeist.serving.door import Door
from hausgeist.settings import Settings
from hausgeist.store.blobs import Blobs
from hausgeist.webhooks import Webhooks

__all__ = ["Services"]


@dataclass(frozen=True, slots=True)
class Services:
    """Everything a route of a model API needs."""

    settings: Settings
    door: Door
    library: Library
    installer: Installer
    pusher: Pusher
    blobs: Blobs
    governor: Governor
    egress: Egress
    completions: Completions
    webhooks: Webhooks
    files: Files
    uploads: Uploads
    batches: Batches
    conversations: Conversations
    responses: Responses
    stores: Stores
    search: Search
    documents: Documents
    attached: Attached
    converter: Converter = field(default_factory=Converter)
