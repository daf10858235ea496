"""Masks and boxes out into annotation tools and trainings, and corrected ones back."""

from advcam.export.face import coco, cvat, label_studio, yolo
from advcam.export.read import read
from advcam.export.write import FORMATS, write

__all__ = ["FORMATS", "coco", "cvat", "label_studio", "read", "write", "yolo"]
