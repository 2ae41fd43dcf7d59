"""State in one folder: the database and its migrations, content-addressed blobs, the durable job queue, backup and restore. No business words."""

from hausgeist.store.blobs import Blobs, parse_digest
from hausgeist.store.database import Database
from hausgeist.store.jobs import Handler, Job, Jobs, Status, Task

__all__ = ["Blobs", "Database", "Handler", "Job", "Jobs", "Status", "Task", "parse_digest"]
