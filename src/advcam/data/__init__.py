"""Labelled images: read from the formats of the field, checked, and brought into one form."""

from advcam.data.check import check_dataset, leave_out_unreadable
from advcam.data.classes import VOC_CLASSES
from advcam.data.images import image_size, read_image
from advcam.data.masks import read_mask, voc_palette, write_mask
from advcam.data.open import open_dataset, splits
from advcam.data.record import Box, ImageSet, Polygons, Problem, Record

__all__ = [
    "VOC_CLASSES",
    "Box",
    "ImageSet",
    "Polygons",
    "Problem",
    "Record",
    "check_dataset",
    "image_size",
    "leave_out_unreadable",
    "open_dataset",
    "read_image",
    "read_mask",
    "splits",
    "voc_palette",
    "write_mask",
]
