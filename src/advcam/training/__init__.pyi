from .progress import FitEvent as FitEvent
from .progress import FitProgress as FitProgress
from .settings import FitSettings as FitSettings
from .task import Task as Task
from .trainer import FitResult as FitResult
from .trainer import fit as fit
