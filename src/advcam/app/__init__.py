"""The web page on this machine: explain a picture, review masks, watch a run. It needs the extra ``app``."""
