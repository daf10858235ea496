from . import irn as irn
from . import psa as psa
from .crf import crf_labels as crf_labels
from .crf import dense_crf as dense_crf
from .region_vote import regions as regions
from .settings import CRFSettings as CRFSettings
from .unary import unary_from_labels as unary_from_labels
from .unary import unary_from_scores as unary_from_scores
