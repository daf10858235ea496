"""Figures of merit: segmentation scores, threshold sweeps, box accuracy. Ground truth is read here and nowhere else."""

import lazy_loader

# Public names are in __init__.pyi and imported on first use, so that the settings can be read without loading torch.
# None of them may also be the name of a file of this folder: importing the file would put the module in its place.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
