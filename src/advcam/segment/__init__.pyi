from .checkpoint import load as load
from .checkpoint import save_network as save_network
from .deeplab import DeepLab as DeepLab
from .inference import Segmenter as Segmenter
from .loss import balanced_cross_entropy as balanced_cross_entropy
from .onnx import export_onnx as export_onnx
from .settings import InferenceSettings as InferenceSettings
from .settings import SegmentSettings as SegmentSettings
