"""Functions of PDFium that are asked of every line, called by cffi: pypdfium2's own way, ctypes, takes twice as long for a call."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple

__all__ = ["Functions", "functions"]


class Functions(NamedTuple):
    """`ffi` makes the memory that they write into."""

    ffi: Any
    count: Callable[..., int]
    rect: Callable[..., int]
    char_box: Callable[..., int]
    loose_box: Callable[..., int]
    matrix: Callable[..., int]
    size: Callable[..., float]
    object: Callable[..., int]
    font: Callable[..., int]
    text: Callable[..., int]
    information: Callable[..., int]
    weight: Callable[..., int]


_SIGNATURES = {
    "FPDFText_CountRects": "int(*)(void*, int, int)",
    "FPDFText_GetRect": "int(*)(void*, int, double*, double*, double*, double*)",
    "FPDFText_GetCharBox": "int(*)(void*, int, double*, double*, double*, double*)",
    "FPDFText_GetLooseCharBox": "int(*)(void*, int, float*)",
    "FPDFText_GetMatrix": "int(*)(void*, int, float*)",
    "FPDFText_GetFontSize": "double(*)(void*, int)",
    "FPDFText_GetTextObject": "uintptr_t(*)(void*, int)",
    "FPDFTextObj_GetFont": "uintptr_t(*)(uintptr_t)",
    "FPDFText_GetText": "int(*)(void*, int, int, uint16_t*)",
    "FPDFText_GetFontInfo": "unsigned long(*)(void*, int, char*, unsigned long, int*)",
    "FPDFText_GetFontWeight": "int(*)(void*, int)",
}
"""In the order of `Functions`."""


def functions(raw: Any) -> Functions:
    """`raw`: pypdfium2's functions."""
    # What the modules that cffi generates use; the `FFI` of the package itself would load a parser of C for a handful of signatures.
    ffi = import_module("_cffi_backend").FFI()
    addresses = [ctypes.cast(getattr(raw, name), ctypes.c_void_p).value or 0 for name in _SIGNATURES]
    return Functions(ffi, *map(ffi.cast, _SIGNATURES.values(), addresses))
