from . import analyse as analyse
from . import attribute as attribute
from . import classify as classify
from . import data as data
from . import evaluate as evaluate
from . import export as export
from . import localize as localize
from . import models as models
from . import pipeline as pipeline
from . import refine as refine
from . import report as report
from . import review as review
from . import saliency as saliency
from . import segment as segment
from . import training as training
from .attribute import maps as maps
from .attribute.cam import cam as cam
from .attribute.climb import climb as climb
from .attribute.explain import AdvCAM as AdvCAM
from .attribute.explain import overlay as overlay
from .attribute.multiscale import localization_maps as localization_maps
from .attribute.settings import ClimbSettings as ClimbSettings
from .attribute.settings import adapted as adapted
from .models.mapper import ClassMapper as ClassMapper

__version__: str
