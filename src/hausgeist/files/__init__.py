"""Uploaded files and the parts of uploads: bytes with an owner. Every member of a project sees its files."""

from hausgeist.files.records import File, Upload, UploadPart
from hausgeist.files.service import Files
from hausgeist.files.uploads import Uploads

__all__ = ["File", "Files", "Upload", "UploadPart", "Uploads"]
