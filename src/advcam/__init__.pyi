from . import (
    analyse as analyse,
    attribute as attribute,
    classify as classify,
    data as data,
    evaluate as evaluate,
    export as export,
    localize as localize,
    models as models,
    pipeline as pipeline,
    refine as refine,
    report as report,
    saliency as saliency,
    segment as segment,
    training as training,
)
from .attribute import maps as maps
from .attribute.cam import cam as cam
from .attribute.climb import climb as climb
from .attribute.explain import AdvCAM as AdvCAM
from .attribute.multiscale import localization_maps as localization_maps
from .attribute.settings import ClimbSettings as ClimbSettings
from .attribute.settings import adapted as adapted
from .models.mapper import ClassMapper as ClassMapper

__version__: str
