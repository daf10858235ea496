"""PSA: class maps spread over cells with like features, which a network learns from them (Ahn and Kwak, CVPR 2018)."""

import lazy_loader

# Public names are in __init__.pyi and imported on first use, so that the settings can be read without loading torch.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
