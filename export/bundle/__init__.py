"""Writes what `denoisert.runtime.bundle` reads; a bundle is replaced as a whole or not at all."""

from denoisert.export.bundle.draft import Contents, Draft
from denoisert.export.bundle.weights import write_weights
from denoisert.export.bundle.write import is_current, write_bundle

__all__ = ["Contents", "Draft", "is_current", "write_bundle", "write_weights"]
