"""One trainer for every network: exact resume, several processes, logs, pictures."""

import lazy_loader

# Public names are in __init__.pyi and imported on first use, so that the settings can be read without loading torch.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
